"""Special tokens: begin, end, padding, and every token that ends an answer."""

from __future__ import annotations

from pathlib import Path

from gguf import TokenType
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.framing import Framing, begins_by_default
from baize_convert.vocabulary.tokenizer_files import (
    GenerationConfig,
    SpecialTokenNames,
    read_json_file,
)
from baize_convert.vocabulary.tokenizer_kind import TokenizerKind
from baize_convert.vocabulary.vocabulary import Vocabulary

_BEGIN, _END = b"<s>", b"</s>"
_RECOGNIZED_END_TOKENS = frozenset(
    {
        b"<|eot_id|>",
        b"<|im_end|>",
        b"<|end|>",
        b"<|return|>",
        b"<|call|>",
        b"<|flush|>",
        b"<|calls|>",
        b"<end_of_turn>",
        b"<|endoftext|>",
        b"</s>",
        b"<|eom_id|>",
        b"<EOT>",
        b"_<EOT>",
        b"[EOT]",
        b"[EOS]",
        b"<|end_of_text|>",
        b"<end_of_utterance>",
        b"<eos>",
    }
)
"""Tokens that llama.cpp recognizes by text as ends of generation (``llama_vocab::impl::load``)."""
_CODE_LLAMA = {
    "prefix": "▁<PRE>".encode(),
    "suffix": "▁<SUF>".encode(),
    "middle": "▁<MID>".encode(),
    "eot": "▁<EOT>".encode(),
}
"""The tokens with which CodeLlama fills in code, by the kind of their key."""
_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""The special tokens that have a key in GGUF."""
_DEFAULT_END = {"llama": 2, "gpt2": 11}
"""The id that llama.cpp takes for EOS if no key names one, by the tokenizer's model."""


class _ConfigIds(Struct, frozen=True):
    """Ids in ``config.json``, a list or anything else counts as none."""

    bos_token_id: object = None
    eos_token_id: object = None
    unk_token_id: object = None
    sep_token_id: object = None
    pad_token_id: object = None
    cls_token_id: object = None
    mask_token_id: object = None


def add_special_ids(
    vocabulary: Vocabulary, folder: Path, names: SpecialTokenNames, config: ModelConfig
) -> None:
    """Add the ids of the named tokens, then those that only ``config.json`` has.

    An id that belongs to no token is none: transformers knows it as little.

    Raises:
        ConvertError: ``config.json`` cannot be read.
    """
    ids = {token: id for id, token in enumerate(vocabulary.tokens) if id not in vocabulary.filled}
    named = names.named()
    for kind in _KINDS:
        token = named.get(f"{kind}_token")
        if token is not None and token.content.encode() in ids:
            vocabulary.special_ids[kind] = ids[token.content.encode()]
    given = read_json_file(folder / "config.json", _ConfigIds) or _ConfigIds(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id
    )
    for kind in _KINDS:
        candidate = getattr(given, f"{kind}_token_id")
        if kind not in vocabulary.special_ids and _is_token(vocabulary, candidate):
            vocabulary.special_ids[kind] = candidate
    for kind, candidate in (("bos", config.bos_token_id), ("eos", config.eos_token_id)):
        if isinstance(candidate, int) and _is_token(vocabulary, candidate):
            vocabulary.special_ids.setdefault(kind, candidate)


def _is_token(vocabulary: Vocabulary, id: object) -> bool:
    return type(id) is int and 0 <= id < len(vocabulary.tokens) and id not in vocabulary.filled


def repair_begin_and_end(vocabulary: Vocabulary, folder: Path) -> None:
    """Use ``<s>`` and ``</s>`` where no token is named, or one that cannot be begin or end."""
    for kind, piece in (("bos", _BEGIN), ("eos", _END)):
        if kind not in vocabulary.special_ids and piece in vocabulary.tokens:
            found = vocabulary.tokens.index(piece)
            if vocabulary.types[found] == TokenType.CONTROL:
                vocabulary.special_ids[kind] = found
    expected = {"bos": (_BEGIN, {_END}), "eos": (_END, {_BEGIN})}
    for kind, (piece, others) in expected.items():
        id = vocabulary.special_ids.get(kind)
        if id is None or piece not in vocabulary.tokens:
            continue
        if vocabulary.types[id] == TokenType.UNKNOWN or vocabulary.tokens[id] in others:
            right = vocabulary.tokens.index(piece)
            vocabulary.warnings.append(
                f"{folder}: the config says that {kind} is {id}, "
                f"{vocabulary.tokens[id].decode()}; the vocabulary's {right}, {piece.decode()}, is "
                "used instead"
            )
            vocabulary.special_ids[kind] = right


def add_end_tokens(vocabulary: Vocabulary, folder: Path, config: ModelConfig) -> None:
    """Add all tokens that end an answer.

    llama.cpp has three keys for them, and recognizes others by their text.

    Raises:
        ConvertError: there is none, and llama.cpp's default would be an ordinary token.
    """
    generation = read_json_file(folder / "generation_config.json", GenerationConfig)
    ends: list[int] = []
    for ids in (config.eos_token_id, generation.eos_token_id if generation else None):
        ends += [id for id in (ids if isinstance(ids, list) else [ids]) if id is not None]
    begin = vocabulary.special_ids.get("bos")
    ends = [
        id
        for id in dict.fromkeys(ends)
        if _is_token(vocabulary, id) and id != begin and vocabulary.types[id] != TokenType.UNKNOWN
    ]
    if ends:
        vocabulary.special_ids.setdefault("eos", ends[0])
    _check_end(vocabulary, folder)
    known = set(vocabulary.special_ids.values())
    left = [
        id for id in ends if id not in known and vocabulary.tokens[id] not in _RECOGNIZED_END_TOKENS
    ]
    for kind in ("eot", "eom"):
        if left and kind not in vocabulary.special_ids:
            vocabulary.special_ids[kind] = left.pop(0)
    if left:
        names = ", ".join(vocabulary.tokens[id].decode("utf-8", "replace") for id in left)
        vocabulary.warnings.append(
            f"{folder}: llama.cpp has no key for further tokens that end an answer: {names}"
        )


def list_end_texts(vocabulary: Vocabulary) -> list[str]:
    """The texts of all tokens at which llama.cpp ends an answer."""
    named = {vocabulary.special_ids.get(kind) for kind in ("eos", "eot", "eom")}
    return [
        token.decode("utf-8", "replace")
        for id, token in enumerate(vocabulary.tokens)
        if id in named or token in _RECOGNIZED_END_TOKENS
    ]


def _check_end(vocabulary: Vocabulary, folder: Path) -> None:
    """Without EOS, llama.cpp would end answers at the token with its default id."""
    default = _DEFAULT_END[vocabulary.model]
    if "eos" in vocabulary.special_ids or default >= len(vocabulary.tokens):
        return
    if vocabulary.types[default] == TokenType.CONTROL or default in vocabulary.filled:
        return
    for id, (token, type) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
        if token in _RECOGNIZED_END_TOKENS and type == TokenType.CONTROL:
            vocabulary.special_ids["eos"] = id
            return
    if vocabulary.filled:
        vocabulary.special_ids["eos"] = min(vocabulary.filled)
        return
    raise ConvertError(
        f"{folder}: no file names the token that ends an answer: put eos_token into "
        "tokenizer_config.json"
    )


def add_framing(
    vocabulary: Vocabulary, folder: Path, kind: TokenizerKind, framing: Framing
) -> None:
    """Say what llama.cpp puts around a text, where it would do otherwise or a file says so."""
    for name, id in (("bos", framing.begin), ("eos", framing.end)):
        if id is None:
            continue
        named = vocabulary.special_ids.get(name)
        if named is not None and named != id:
            vocabulary.warnings.append(
                f"{folder}: the tokenizer adds {_text(vocabulary, id)} at the "
                f"{'beginning' if name == 'bos' else 'end'} of a text, not its {name}_token "
                f"{_text(vocabulary, named)}"
            )
        if not 0 <= id < len(vocabulary.tokens):
            raise ConvertError(f"{folder}: the tokenizer adds token {id}, which the model lacks")
        vocabulary.special_ids[name] = id
    begins, ends = framing.begin is not None, framing.end is not None
    if framing.explicit or begins != begins_by_default(kind):
        vocabulary.add_special["bos"] = begins
    if framing.explicit or ends:
        vocabulary.add_special["eos"] = ends


def add_infill_tokens(vocabulary: Vocabulary) -> None:
    """Add the keys of CodeLlama's tokens for filling in code, which it has under these texts."""
    ids: dict[str, int] = {}
    for kind, text in _CODE_LLAMA.items():
        if text not in vocabulary.tokens:
            return
        ids[kind] = vocabulary.tokens.index(text)
    vocabulary.special_ids |= ids


def _text(vocabulary: Vocabulary, id: int) -> str:
    return repr(vocabulary.tokens[id].decode("utf-8", "replace"))
