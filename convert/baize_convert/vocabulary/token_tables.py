"""Tokens, types and scores by id: the union of all files of a tokenizer.

``tokenizer.json`` counts more than ``tokenizer.model``; ``added_tokens`` says which added tokens
there are.
"""

from __future__ import annotations

from pathlib import Path

from gguf import TokenType

from baize_convert.failures import ConvertError
from baize_convert.sources.text_files import read_text_file
from baize_convert.vocabulary.added_tokens import stated_tokens
from baize_convert.vocabulary.merge_ranks import scores_of_merges
from baize_convert.vocabulary.sentencepiece_model import SentencePieceModel
from baize_convert.vocabulary.tokenizer_files import AddedToken, TokenizerFile, TokenizerModel
from baize_convert.vocabulary.tokenizer_kind import BYTE_PIECE, SPACE, TokenizerKind
from baize_convert.vocabulary.tokenizer_source import TokenizerSource
from baize_convert.vocabulary.vocabulary import (
    Vocabulary,
    fill_gaps,
    put_token,
    unfilled_vocabulary,
)

_BYTE_PIECES = 256


def build_vocabulary(source: TokenizerSource, kind: TokenizerKind, size: int) -> Vocabulary:
    """The tokens of a model with ``size`` ids.

    Raises:
        ConvertError: a token has no place in the model, or llama.cpp cannot form the tokens.
    """
    vocabulary = unfilled_vocabulary(kind, size)
    if kind.model == "llama":
        _put_sentencepiece(vocabulary, source, kind)
    else:
        assert source.tokenizer is not None
        for token, id in source.tokenizer.model.ids().items():
            put_token(vocabulary, source.folder, id, token, TokenType.NORMAL)
        vocabulary.merges = _merge_lines(source.folder, source.tokenizer.model)
    _put_added_tokens(vocabulary, source)
    _mark_named_tokens(vocabulary, source)
    fill_gaps(vocabulary, source.folder)
    return vocabulary


# --- SentencePiece ------------------------------------------------------------------------------


def _put_sentencepiece(
    vocabulary: Vocabulary, source: TokenizerSource, kind: TokenizerKind
) -> None:
    size = len(vocabulary.tokens)
    if source.pieces is not None:
        if len(source.pieces.pieces) > size:
            raise ConvertError(
                f"{source.folder}: tokenizer.model has {len(source.pieces.pieces)} pieces, "
                f"config.json says {size}"
            )
        if source.tokenizer is None or _agree(vocabulary, source, source.tokenizer):
            _put_pieces(vocabulary, source.folder, source.pieces)
    if source.tokenizer is not None:
        known = vocabulary.filled != set(range(size))
        _put_file(vocabulary, source.folder, source.tokenizer, keep=known)
        for token in kind.isolated:
            id, text = source.tokenizer.model.ids()[token], token.replace(SPACE, " ")
            put_token(vocabulary, source.folder, id, text, TokenType.USER_DEFINED)
    bytes_found = sum(type == TokenType.BYTE for type in vocabulary.types)
    if bytes_found != _BYTE_PIECES:
        raise ConvertError(
            f"{source.folder}: the vocabulary has {bytes_found} of the {_BYTE_PIECES} tokens for "
            "bytes, which llama.cpp needs for characters without a token"
        )


def _agree(vocabulary: Vocabulary, source: TokenizerSource, tokenizer: TokenizerFile) -> bool:
    """Whether the pieces of ``tokenizer.model`` are those of ``tokenizer.json``; warns if not."""
    assert source.pieces is not None
    if not source.pieces.is_bpe:
        return False
    added = {token.id for token in tokenizer.added_tokens}
    texts = {id: token for token, id in tokenizer.model.ids().items()}
    for id, piece in enumerate(source.pieces.pieces):
        if id in added or piece.type not in (TokenType.NORMAL, TokenType.BYTE):
            continue
        if texts.pop(id, None) != piece.text:
            break
    else:
        beyond = [id for id in texts if id not in added and id >= len(source.pieces.pieces)]
        if not beyond:
            return True
        id, piece = beyond[0], None
    other = next((token for token, at in tokenizer.model.ids().items() if at == id), None)
    vocabulary.warnings.append(
        f"{source.folder}: tokenizer.model and tokenizer.json disagree: token {id} is "
        f"{piece.text if piece else None!r} in one and {other!r} in the other; tokenizer.json "
        "counts, as in transformers"
    )
    return False


def _put_pieces(vocabulary: Vocabulary, folder: Path, model: SentencePieceModel) -> None:
    assert vocabulary.scores is not None
    for id, piece in enumerate(model.pieces):
        text = piece.text
        if piece.type == TokenType.USER_DEFINED:
            text = text.replace(SPACE, " ")  # llama.cpp looks for it in the text itself
        put_token(vocabulary, folder, id, text, piece.type)
        vocabulary.scores[id] = piece.score


def _put_file(
    vocabulary: Vocabulary, folder: Path, tokenizer: TokenizerFile, *, keep: bool
) -> None:
    """The tokens of ``tokenizer.json``, with scores from its merges; ``keep`` those there are."""
    assert vocabulary.scores is not None
    model = tokenizer.model
    scores = {} if keep else scores_of_merges(folder / "tokenizer.json", tokenizer)
    for token, id in model.ids().items():
        if keep and id not in vocabulary.filled:
            continue
        type = TokenType.BYTE if BYTE_PIECE.fullmatch(token) else TokenType.NORMAL
        if token == model.unk_token:
            type = TokenType.UNKNOWN
        put_token(vocabulary, folder, id, token, type)
        vocabulary.scores[id] = scores.get(token, 0.0)


# --- BPE on bytes -------------------------------------------------------------------------------


def _merge_lines(folder: Path, model: TokenizerModel) -> list[str]:
    """The merges as GGUF has them: spaces inside of a token are written as the byte-level does."""
    if not model.merges:
        return _merges_file(folder)
    try:
        return [
            merge
            if isinstance(merge, str)
            else " ".join(part.replace(" ", chr(ord(" ") + 256)) for part in pair)
            for merge, pair in zip(model.merges, model.pairs(), strict=True)
        ]
    except ValueError as error:
        raise ConvertError(
            f"{folder / 'tokenizer.json'}: a merge does not consist of two tokens"
        ) from error


def _merges_file(folder: Path) -> list[str]:
    file = folder / "merges.txt"
    if not file.is_file():
        return []
    lines = read_text_file(file).split("\n")
    if lines[0].startswith("#"):
        lines = lines[1:]
    return [" ".join(parts) for line in lines if len(parts := line.split()) == 2]


# --- added tokens -------------------------------------------------------------------------------


def _put_added_tokens(vocabulary: Vocabulary, source: TokenizerSource) -> None:
    if source.tokenizer is not None:
        for token in source.tokenizer.added_tokens:
            _put_added_token(vocabulary, source, token, token.id, special=token.is_special)
        return
    for stated in stated_tokens(source):
        # As llama.cpp's converter: of a file without flags, only names make a token special.
        by_name = stated.file == "added_tokens.json"
        special = bool(stated.token.special) if by_name else stated.token.is_special
        _put_added_token(vocabulary, source, stated.token, stated.id, special=special)
    _append_named_tokens(vocabulary, source)


def _put_added_token(
    vocabulary: Vocabulary, source: TokenizerSource, token: AddedToken, id: int, *, special: bool
) -> None:
    text = token.content
    if id >= len(vocabulary.types):
        vocabulary.left_out.append(text)
        return
    is_unknown = id >= 0 and vocabulary.types[id] == TokenType.UNKNOWN
    if is_unknown and source.pieces is None:
        return  # llama.cpp treats both types alike
    if special:
        put_token(vocabulary, source.folder, id, text, TokenType.CONTROL)
        return
    if vocabulary.scores is not None and token.with_all_flags().normalized:
        text = text.replace(SPACE, " ")  # llama.cpp looks for it before it writes the spaces
    put_token(vocabulary, source.folder, id, text, TokenType.USER_DEFINED)


def _append_named_tokens(vocabulary: Vocabulary, source: TokenizerSource) -> None:
    """Add the special tokens that have a name but no id, as transformers does: after all others."""
    known = {*vocabulary.tokens, *(text.encode() for text in vocabulary.left_out)}
    used = [id for id in range(len(vocabulary.tokens)) if id not in vocabulary.filled]
    following = max(used, default=-1) + 1
    for token in source.special_tokens():
        text = token.content
        if text.encode() in known or text.replace(SPACE, " ").encode() in known:
            continue
        known.add(text.encode())
        _put_added_token(vocabulary, source, token, following, special=True)
        following += 1


def _mark_named_tokens(vocabulary: Vocabulary, source: TokenizerSource) -> None:
    """Make ordinary tokens that have a name special, as transformers does.

    llama.cpp looks for special tokens only, and would spell them where a conversation has one.
    """
    named = {text.encode() for text in source.special_texts()}
    for id, (token, type) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
        if token in named and type == TokenType.NORMAL and id not in vocabulary.filled:
            vocabulary.types[id] = TokenType.CONTROL
            vocabulary.warnings.append(
                f"{source.folder}: the ordinary token {token.decode()!r} is named as a special "
                "one: as in transformers, answers do not show it"
            )
