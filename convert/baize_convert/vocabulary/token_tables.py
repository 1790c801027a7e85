"""Tokens, types and scores from each kind of tokenizer: SentencePiece, and two kinds of BPE."""

from __future__ import annotations

import re
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.pre_tokenizers import detect_pre_tokenizer
from baize_convert.vocabulary.sentencepiece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    read_pieces,
)
from baize_convert.vocabulary.tokenizer_files import TokenizerConfig, TokenizerFile, read_json_file
from baize_convert.vocabulary.vocabulary import Vocabulary, padded_vocabulary, put_token

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


_SPACE = "▁"


def from_sentencepiece(folder: Path, settings: TokenizerConfig, size: int) -> Vocabulary:
    pieces = read_pieces(folder / "tokenizer.model")
    if len(pieces) > size:
        raise ConvertError(
            f"{folder}: tokenizer.model has {len(pieces)} pieces, config.json says {size}"
        )
    known = {NORMAL: NORMAL, UNKNOWN: UNKNOWN, CONTROL: CONTROL, UNUSED: UNUSED, BYTE: BYTE}
    found = padded_vocabulary("llama", size, score=-10000.0)
    assert found.scores is not None
    for id, piece in enumerate(pieces):
        found.tokens[id] = piece.text.encode()
        found.scores[id] = piece.score
        found.types[id] = known.get(piece.type, NORMAL)
    for token, id in (read_json_file(folder / "added_tokens.json", dict[str, int]) or {}).items():
        put_token(found, folder, id, token, USER_DEFINED)
    for id, added in settings.added_tokens_decoder.items():
        token = added.content
        if added.is_special:
            put_token(found, folder, id, token, CONTROL)
        else:
            put_token(found, folder, id, token.replace(_SPACE, " "), USER_DEFINED)
    return found


def from_byte_fallback(folder: Path, tokenizer: TokenizerFile, size: int) -> Vocabulary:
    """SentencePiece known only from its tokenizer.json: scores come from the order of merges."""
    found = padded_vocabulary("llama", size, score=-10000.0)
    assert found.scores is not None
    try:
        rank = {left + right: place for place, (left, right) in enumerate(tokenizer.model.pairs())}
    except ValueError as error:
        raise ConvertError(f"{folder}: a merge in tokenizer.json is not of two tokens") from error
    for token, id in tokenizer.model.ids().items():
        kind = BYTE if _BYTE_PIECE.fullmatch(token) else NORMAL
        put_token(found, folder, id, token, UNKNOWN if token == tokenizer.model.unk_token else kind)
        found.scores[id] = -float(rank[token]) if token in rank else 0.0
    for added in tokenizer.added_tokens:
        if 0 <= added.id < size and found.types[added.id] == UNKNOWN:
            continue
        put_token(
            found, folder, added.id, added.content, CONTROL if added.is_special else USER_DEFINED
        )
    return found


def from_bpe(folder: Path, tokenizer: TokenizerFile, size: int, pre: str | None) -> Vocabulary:
    vocab = tokenizer.model.ids()
    if not vocab or tokenizer.model.type not in (None, "BPE"):
        raise ConvertError(f"{folder}: tokenizer.json holds no BPE vocabulary")
    found = padded_vocabulary("gpt2", size, score=None)
    found.pre = pre or detect_pre_tokenizer(folder / "tokenizer.json", tokenizer.pre_tokenizer)
    for token, id in vocab.items():
        put_token(found, folder, id, token, NORMAL)
    for added in tokenizer.added_tokens:
        if added.is_special:
            put_token(found, folder, added.id, added.content, CONTROL)
        else:
            put_token(found, folder, added.id, added.content.replace(_SPACE, " "), USER_DEFINED)
    return found
