"""The tokenizer of a source, run by the library that it was made for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from gguf import TokenType

from baize_convert.failures import ConvertError
from baize_convert.parity.llama_model import LlamaVocabulary, open_vocabulary
from baize_convert.vocabulary.added_tokens import stated_tokens
from baize_convert.vocabulary.framing import read_framing
from baize_convert.vocabulary.pre_tokenizers import llama_splitter, named_pre_tokenizer
from baize_convert.vocabulary.reading import kind_of_source, read_source
from baize_convert.vocabulary.sentencepiece_model import SentencePieceModel
from baize_convert.vocabulary.tokenizer_kind import SPACE, Limit, TokenizerKind
from baize_convert.vocabulary.tokenizer_library import take_tokenizer, tokenizer_from_json
from baize_convert.vocabulary.tokenizer_source import TokenizerSource

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer


_FLAGS = ("normalized", "lstrip", "rstrip", "single_word")
"""How an added token is found in a text."""


class SourceTokenizer(Protocol):
    """What a source's tokenizer makes of texts."""

    @property
    def specials(self) -> Sequence[str]:
        """The added and special tokens that it looks for in a text."""

    @property
    def limits(self) -> Sequence[Limit]:
        """What llama.cpp does otherwise."""

    def encode(
        self, texts: list[str], *, add_special: bool = False, limits: frozenset[Limit] = frozenset()
    ) -> list[list[int]]:
        """The ids of each text, with the special tokens in it.

        ``add_special`` puts around each what the tokenizer always adds. With ``limits``, the ids
        are those of the tokenizer that llama.cpp has instead.
        """


@contextmanager
def open_source_tokenizer(path: Path, pre: str | None = None) -> Iterator[SourceTokenizer]:
    """The tokenizer of a Hugging Face folder or of a GGUF file.

    ``pre`` is the pre-tokenizer that a person named for llama.cpp.

    Raises:
        ConvertError: it does not exist, or its library cannot read it.
    """
    if path.is_file():
        with open_vocabulary(path) as vocabulary:
            yield _GgufTokenizer(vocabulary)
        return
    source, _ = read_source(path)
    kind = kind_of_source(source, pre)
    if source.tokenizer is not None:
        yield _LibraryTokenizer(source, kind)
    else:
        yield _SentencePieceTokenizer(source, kind)


class _GgufTokenizer:
    """The tokenizer of a GGUF file, whose special tokens need no comparison: they were copied."""

    specials: Sequence[str] = ()
    limits: Sequence[Limit] = ()

    def __init__(self, vocabulary: LlamaVocabulary) -> None:
        self._vocabulary = vocabulary

    def encode(
        self, texts: list[str], *, add_special: bool = False, limits: frozenset[Limit] = frozenset()
    ) -> list[list[int]]:
        return self._vocabulary.encode(texts, add_special=add_special)


class _LibraryTokenizer:
    """A ``tokenizer.json``, as transformers loads it with ``tokenizer_config.json``."""

    def __init__(self, source: TokenizerSource, kind: TokenizerKind) -> None:
        assert source.tokenizer is not None
        self._source = source
        self._kind = kind
        self._file = source.folder / "tokenizer.json"
        self._tokenizer = self._completed(take_tokenizer(self._file))
        self._flagged: dict[frozenset[str], Tokenizer] = {}
        """The same with some flags of added tokens cleared."""
        self._steps = (self._tokenizer.normalizer, self._tokenizer.pre_tokenizer)
        self.limits = kind.limits
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.specials = [token.content for token in added if token.content]

    def encode(
        self, texts: list[str], *, add_special: bool = False, limits: frozenset[Limit] = frozenset()
    ) -> list[list[int]]:
        tokenizer = self._with_flags(limits)
        tokenizer.normalizer, tokenizer.pre_tokenizer = self._limited_steps(limits)
        return [
            list(encoding.ids)
            for encoding in tokenizer.encode_batch(texts, add_special_tokens=add_special)
        ]

    def _completed(self, tokenizer: Tokenizer, cleared: frozenset[str] = frozenset()) -> Tokenizer:
        """``tokenizer`` with what transformers takes from ``tokenizer_config.json``."""
        from tokenizers import AddedToken

        for token in self._source.after_file:
            flags = {name: name not in cleared and getattr(token, name) for name in _FLAGS}
            added = AddedToken(token.content, special=bool(token.special), **flags)
            tokenizer.add_tokens([added])
        return tokenizer

    def _limited_steps(self, limits: frozenset[Limit]) -> tuple[Any, Any]:
        """Normalizer and pre-tokenizer of the library that do what llama.cpp does."""
        from tokenizers import normalizers

        normalizer, pre_tokenizer = self._steps
        if Limit.COMPOSITION in limits:
            normalizer = None
        if Limit.LETTER_CASE in limits:
            pre_tokenizer = llama_splitter(named_pre_tokenizer(self._kind.pre))
        if Limit.SPACE_PREFIX in limits:
            spaces = normalizers.Replace(" ", SPACE)
            normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces])
            pre_tokenizer = None
        return normalizer, pre_tokenizer

    def _with_flags(self, limits: frozenset[Limit]) -> Tokenizer:
        """The tokenizer whose added tokens are found in the text as llama.cpp finds them."""
        flags = {"normalized"} if Limit.SPACE_PREFIX in limits else set()
        if Limit.TOKEN_FLAGS in limits:
            flags = set(_FLAGS)
        if not flags:
            return self._tokenizer
        key = frozenset(flags)
        if key not in self._flagged:
            raw = msgspec.json.decode(self._file.read_bytes())
            cleared = dict.fromkeys(flags, False)
            raw["added_tokens"] = [{**token, **cleared} for token in raw["added_tokens"]]
            tokenizer = tokenizer_from_json(self._file, msgspec.json.encode(raw))
            self._flagged[key] = self._completed(tokenizer, cleared=key)
        return self._flagged[key]


class _SentencePieceTokenizer:
    """A ``tokenizer.model`` alone, cut at its special tokens as transformers 4 does."""

    def __init__(self, source: TokenizerSource, kind: TokenizerKind) -> None:
        assert source.pieces is not None
        file = source.folder / "tokenizer.model"
        self._processor = _open_sentencepiece(file, dummy_prefix=kind.space_prefix)
        self.limits = kind.limits
        self._ids = _special_ids(source, source.pieces)
        self._user_defined = {
            piece.text.replace(SPACE, " "): id
            for id, piece in enumerate(source.pieces.pieces)
            if piece.type == TokenType.USER_DEFINED
        }
        self.specials = [*self._ids, *self._user_defined]
        texts = {"bos_token": "<s>", "eos_token": "</s>"}
        texts |= {name: token.content for name, token in source.names.named().items()}
        named = {
            kind: self._ids[texts[f"{kind}_token"]]
            for kind in ("bos", "eos")
            if texts[f"{kind}_token"] in self._ids
        }
        self._framing = read_framing(source.folder, None, source.settings, named)

    def encode(
        self, texts: list[str], *, add_special: bool = False, limits: frozenset[Limit] = frozenset()
    ) -> list[list[int]]:
        ids = self._ids
        if Limit.SPACE_PREFIX in limits:
            ids = {**ids, **self._user_defined}
        cuts = re.compile("(" + "|".join(map(re.escape, sorted(ids, key=len, reverse=True))) + ")")
        encoded = []
        for text in texts:
            parts = cuts.split(text) if ids else [text]
            found = [
                id
                for part in parts
                for id in ([ids[part]] if part in ids else self._processor.encode(part))
            ]
            if add_special:
                begin, end = self._framing.begin, self._framing.end
                found = [id for id in (begin, *found, end) if id is not None]
            encoded.append(found)
        return encoded


def _special_ids(source: TokenizerSource, model: SentencePieceModel) -> dict[str, int]:
    """The ids of tokens that the pieces of SentencePiece do not spell."""
    ids = {
        piece.text: id
        for id, piece in enumerate(model.pieces)
        if piece.type in (TokenType.CONTROL, TokenType.UNKNOWN)
    }
    named = set(source.special_texts())
    ids |= {piece.text: id for id, piece in enumerate(model.pieces) if piece.text in named}
    for stated in stated_tokens(source):
        token = stated.token.with_all_flags()
        is_literal = token.is_special or not token.normalized
        ids[token.content if is_literal else token.content.replace(SPACE, " ")] = stated.id
    return {text: id for text, id in ids.items() if text}


def _open_sentencepiece(file: Path, *, dummy_prefix: bool) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    # What comes last in a protobuf counts: the normalizer's add_dummy_prefix.
    setting = b"\x1a\x02\x18" + bytes([dummy_prefix])
    try:
        return SentencePieceProcessor(model_proto=file.read_bytes() + setting)
    except (OSError, RuntimeError) as error:
        raise ConvertError(f"{file}: not a SentencePiece model") from error
