"""Tokens, types and scores of each kind of tokenizer: SentencePiece, its JSON form, and BPE."""

from __future__ import annotations

import re
from pathlib import Path

from gguf import TokenType

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.pre_tokenizers import detect_pre_tokenizer
from baize_convert.vocabulary.sentencepiece_model import read_pieces
from baize_convert.vocabulary.tokenizer_files import (
    AddedToken,
    TokenizerConfig,
    TokenizerFile,
    read_json_file,
)
from baize_convert.vocabulary.vocabulary import Vocabulary, padded_vocabulary, put_token

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "▁"


def from_sentencepiece(folder: Path, settings: TokenizerConfig, size: int) -> Vocabulary:
    """The pieces of ``tokenizer.model``, and the tokens that JSON files add to them."""
    pieces = read_pieces(folder / "tokenizer.model")
    if len(pieces) > size:
        raise ConvertError(
            f"{folder}: tokenizer.model has {len(pieces)} pieces, config.json says {size}"
        )
    vocabulary = padded_vocabulary("llama", size, score=-10000.0)
    assert vocabulary.scores is not None
    for id, piece in enumerate(pieces):
        vocabulary.tokens[id] = piece.text.encode()
        vocabulary.scores[id] = piece.score
        # As llama.cpp's converter, which knows user-defined tokens from other files only.
        user_defined = piece.type == TokenType.USER_DEFINED
        vocabulary.types[id] = TokenType.NORMAL if user_defined else piece.type
    for token, id in (read_json_file(folder / "added_tokens.json", dict[str, int]) or {}).items():
        put_token(vocabulary, folder, id, token, TokenType.USER_DEFINED)
    for id, added in settings.added_tokens_decoder.items():
        _put_added(vocabulary, folder, id, added)
    return vocabulary


def from_byte_fallback(folder: Path, tokenizer: TokenizerFile, size: int) -> Vocabulary:
    """A SentencePiece vocabulary known from tokenizer.json alone: merge order gives the scores."""
    vocabulary = padded_vocabulary("llama", size, score=-10000.0)
    assert vocabulary.scores is not None
    try:
        rank = {left + right: index for index, (left, right) in enumerate(tokenizer.model.pairs())}
    except ValueError as error:
        raise ConvertError(
            f"{folder}: a merge in tokenizer.json does not consist of two tokens"
        ) from error
    for token, id in tokenizer.model.ids().items():
        kind = TokenType.BYTE if _BYTE_PIECE.fullmatch(token) else TokenType.NORMAL
        put_token(
            vocabulary,
            folder,
            id,
            token,
            TokenType.UNKNOWN if token == tokenizer.model.unk_token else kind,
        )
        vocabulary.scores[id] = -float(rank[token]) if token in rank else 0.0
    for added in tokenizer.added_tokens:
        if 0 <= added.id < size and vocabulary.types[added.id] == TokenType.UNKNOWN:
            continue
        put_token(
            vocabulary,
            folder,
            added.id,
            added.content,
            TokenType.CONTROL if added.is_special else TokenType.USER_DEFINED,
        )
    return vocabulary


def from_bpe(folder: Path, tokenizer: TokenizerFile, size: int, pre: str | None) -> Vocabulary:
    """A BPE on bytes; ``pre`` names its pre-tokenizer, None detects it."""
    vocab = tokenizer.model.ids()
    if not vocab or tokenizer.model.type not in (None, "BPE"):
        raise ConvertError(f"{folder}: tokenizer.json does not contain a BPE vocabulary")
    vocabulary = padded_vocabulary("gpt2", size, score=None)
    vocabulary.pre = pre or detect_pre_tokenizer(folder / "tokenizer.json", tokenizer.pre_tokenizer)
    for token, id in vocab.items():
        put_token(vocabulary, folder, id, token, TokenType.NORMAL)
    for added in tokenizer.added_tokens:
        _put_added(vocabulary, folder, added.id, added)
    return vocabulary


def _put_added(vocabulary: Vocabulary, folder: Path, id: int, added: AddedToken) -> None:
    if added.is_special:
        put_token(vocabulary, folder, id, added.content, TokenType.CONTROL)
    else:
        put_token(
            vocabulary, folder, id, added.content.replace(_SPACE, " "), TokenType.USER_DEFINED
        )
