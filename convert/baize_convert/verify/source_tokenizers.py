"""The tokenizer of a source by the library it was made for: what a conversion is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from baize_convert.failures import ConvertError
from baize_convert.verify.llama_model import open_tokenizer
from baize_convert.vocabulary.tokenizer_library import read_tokenizer

if TYPE_CHECKING:
    pass

SourceTokenizer = Callable[[str], list[int]]
"""Ids of a text, without what stands before or after a whole prompt."""


@contextmanager
def open_source_tokenizer(path: Path) -> Iterator[SourceTokenizer]:
    """The tokenizer of a Hugging Face folder or of a GGUF file.

    Raises:
        ConvertError: there is none, or its library cannot read it.
    """
    if path.is_file():
        with open_tokenizer(path) as tokenize:
            yield tokenize
    elif (path / "tokenizer.model").is_file():
        yield _sentencepiece(path / "tokenizer.model")
    else:
        tokenizer = read_tokenizer(path / "tokenizer.json")
        yield lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _sentencepiece(file: Path) -> SourceTokenizer:
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as error:
        raise ConvertError(f"{file}: not a SentencePiece model") from error
    return lambda text: list(processor.encode(text))
