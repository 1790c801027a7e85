"""The tokenizers library, imported only where it is needed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from baize_convert.failures import ConvertError, reason
from baize_convert.vocabulary.tokenizer_files import TokenizerFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """Load a ``tokenizer.json``; callers must not change what they get.

    Raises:
        ConvertError: the tokenizers library cannot read it.
    """
    try:
        return _read_tokenizer(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise ConvertError(f"{file}: {error.strerror}") from error


def take_tokenizer(file: Path) -> Tokenizer:
    """The same, for one caller who may change it; nothing is kept.

    Raises:
        ConvertError: see ``read_tokenizer``.
    """
    tokenizer = read_tokenizer(file)
    _read_tokenizer.cache_clear()
    return tokenizer


@lru_cache(maxsize=1)
def _read_tokenizer(file: Path, _changed_at: int) -> Tokenizer:
    """Plan and check need the same one, and a large one takes a second to load."""
    return tokenizer_from_json(file, file.read_bytes())


def tokenizer_from_json(file: Path, raw: bytes) -> Tokenizer:
    """The tokenizer in ``raw``, the content of ``file``, which encodes whole texts.

    Flags that an added token lacks have the library's defaults.

    Raises:
        ConvertError: the tokenizers library cannot read it.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(_with_all_flags(raw))
    except Exception as error:  # the library raises nothing narrower
        raise ConvertError(f"{file}: not a tokenizer: {reason(error)}") from error
    # What training left in the file; transformers ignores it too, unless it is asked to.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _with_all_flags(raw: bytes) -> bytes:
    """``raw`` with all flags of added tokens, which a script may have left out."""
    if raw.count(b'"single_word"') == raw.count(b'"special"'):
        return raw  # as the library writes it: nothing to complete
    content = msgspec.json.decode(raw)
    for token in content["added_tokens"]:
        special = bool(token.setdefault("special", False))
        for flag in ("single_word", "lstrip", "rstrip"):
            token.setdefault(flag, False)
        token.setdefault("normalized", not special)
    return msgspec.json.encode(content)


def tokens_that_merges_do_not_make(tokenizer: TokenizerFile) -> list[str]:
    """The tokens of a BPE, but its added ones, that merges alone do not make of their characters.

    Raises:
        ConvertError: the tokenizers library cannot read the model.
    """
    from tokenizers import Tokenizer

    plain = msgspec.structs.replace(tokenizer.model, type="BPE", ignore_merges=False)
    raw = msgspec.json.encode({"version": "1.0", "added_tokens": [], "model": plain})
    try:
        library = Tokenizer.from_buffer(raw)
    except Exception as error:  # the library raises nothing narrower
        raise ConvertError(f"not a tokenizer: {reason(error)}") from error
    added = {token.content for token in tokenizer.added_tokens}
    ids = {token: id for token, id in tokenizer.model.ids().items() if token not in added}
    encodings = library.encode_batch(list(ids), add_special_tokens=False)
    return [
        token
        for (token, id), encoding in zip(ids.items(), encodings, strict=True)
        if encoding.ids != [id]
    ]
