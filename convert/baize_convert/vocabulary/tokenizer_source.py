"""The files of a tokenizer, read together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from baize_convert.vocabulary.sentencepiece_model import SentencePieceModel
from baize_convert.vocabulary.tokenizer_files import (
    AddedToken,
    SpecialTokenNames,
    TokenizerConfig,
    TokenizerFile,
)


@dataclass(frozen=True)
class TokenizerSource:
    """What the files of a tokenizer in ``folder`` say about its tokens."""

    folder: Path
    tokenizer: TokenizerFile | None
    """``tokenizer.json``, with all added tokens once ``complete_tokenizer`` has seen it."""
    pieces: SentencePieceModel | None
    settings: TokenizerConfig
    names: SpecialTokenNames
    added: dict[str, int]
    """``added_tokens.json``."""
    after_file: tuple[AddedToken, ...] = ()
    """What transformers adds to the tokenizer of ``tokenizer.json``, in this order."""

    def special_tokens(self) -> list[AddedToken]:
        """All tokens that a name makes special, in the order of transformers."""
        return [*self.names.named().values(), *self.names.further()]

    def special_texts(self) -> list[str]:
        return [token.content for token in self.special_tokens()]
