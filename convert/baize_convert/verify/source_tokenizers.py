"""The tokenizer of a source, run by the library that it was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.verify.llama_model import open_tokenizer
from baize_convert.vocabulary.model_file import sentencepiece_file
from baize_convert.vocabulary.tokenizer_library import read_tokenizer

SourceTokenizer = Callable[[str], list[int]]
"""The ids of a text, without the special tokens that begin or end a prompt."""


@contextmanager
def open_source_tokenizer(path: Path) -> Iterator[SourceTokenizer]:
    """The tokenizer of a Hugging Face folder or of a GGUF file.

    Raises:
        ConvertError: it does not exist, or its library cannot read it.
    """
    if path.is_file():
        with open_tokenizer(path) as tokenize:
            yield tokenize
    elif (file := sentencepiece_file(path)) is not None:
        yield _sentencepiece(file)
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
