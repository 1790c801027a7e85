"""Tokens that training adds to the vocabulary of a base: checked, numbered and written.

They are added tokens of ``tokenizer.json``, as the tokenizers library writes them, with the ids
that follow the existing ones. Nothing is normalized in them and no blanks around them are removed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.tokenizer_library import read_tokenizer
from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.trained_prompt import NewToken
from baize_train.errors import TrainError

TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (
    *(TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja"),
)
"""The files of a tokenizer in a folder; most folders have some of them."""
_UNWRITABLE = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that no token may have: the chat keeps some and removes others."""


def check_texts(tokens: Sequence[NewToken]) -> None:
    """Check the texts alone, before a base is opened.

    Raises:
        TrainError: a text is empty or given twice, has blanks at its edges, or characters that no
            token may have.
    """
    seen: set[str] = set()
    for token in tokens:
        text = token.text
        if not text:
            raise TrainError("a new token is empty")
        if any(unicodedata.category(char) in _UNWRITABLE for char in text):
            raise TrainError(f"the new token {text!r} contains a control character")
        if text != text.strip():
            raise TrainError(f"the new token {text!r} begins or ends with a blank")
        if text in seen:
            raise TrainError(f"the new token {text!r} is given twice")
        seen.add(text)


def number_tokens(base: Path, tokens: Sequence[NewToken]) -> range:
    """The ids of ``tokens`` in the vocabulary of the folder ``base``, in their order.

    Raises:
        TrainError: the base has no tokenizer that can be extended, or a token already.
    """
    if not tokens:
        return range(0)
    if base.is_file():
        raise TrainError(
            f"new tokens need a Hugging Face folder or hf:owner/name: {base} is a GGUF, whose "
            "vocabulary cannot be extended"
        )
    file = base / TOKENIZER
    if not file.is_file():
        raise TrainError(
            f"new tokens need a {TOKENIZER}, which {base} lacks: load the tokenizer with "
            "transformers and save it again"
        )
    try:
        tokenizer = read_tokenizer(file)
    except ConvertError as error:
        raise TrainError(str(error)) from error
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    for token in tokens:
        text = token.text
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        is_whole = len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=False) == text
        if text in vocabulary or is_whole:
            id = vocabulary.get(text, ids[0])
            raise TrainError(f"the new token {text!r} is one already: token {id} of the base")
        if inner := next((content for content in added if content in text), None):
            raise TrainError(f"the new token {text!r} contains another token of the base, {inner}")
    first = max(vocabulary.values()) + 1
    return range(first, first + len(tokens))


def write_tokenizer(base: Path, tokens: Sequence[NewToken], folder: Path) -> None:
    """Copy the tokenizer of ``base`` to ``folder``, with ``tokens`` added.

    Raises:
        TrainError: see ``number_tokens``; or a file cannot be read or written.
    """
    entries = [
        {
            "id": id,
            "content": token.text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": token.special,
        }
        for id, token in zip(number_tokens(base, tokens), tokens, strict=True)
    ]
    for name in TOKENIZER_FILES:
        file = base / name
        if not file.is_file():
            continue
        try:
            raw = file.read_bytes()
            write_atomically(folder / name, _extended(name, raw, entries) if entries else raw)
        except JSON_ERRORS as error:
            raise TrainError(f"{file}: {error}") from error
        except OSError as error:
            raise TrainError(f"{error.filename or file}: {error.strerror}") from error


def _extended(name: str, raw: bytes, entries: Sequence[dict[str, Any]]) -> bytes:
    """The file ``name`` with new tokens, if it is one that lists added tokens."""
    if name not in (TOKENIZER, "tokenizer_config.json", "added_tokens.json"):
        return raw
    content = msgspec.json.decode(raw, type=dict[str, Any])
    if name == TOKENIZER:
        content["added_tokens"] = [*(content.get("added_tokens") or ()), *entries]
    elif name == "added_tokens.json":
        content |= {entry["content"]: entry["id"] for entry in entries}
    elif known := content.get("added_tokens_decoder"):
        for entry in entries:
            rest = {key: value for key, value in entry.items() if key != "id"}
            known[str(entry["id"])] = rest
    return msgspec.json.format(msgspec.json.encode(content))
