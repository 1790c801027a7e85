"""The vocabulary and the chat template of a base, as llama.cpp will read them after the merge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.output.vocabulary_file import write_vocabulary
from baize_convert.sources.model_config import read_config
from baize_shared.trained_prompt import NewToken
from baize_train.errors import TrainError
from baize_train.tokens.new_tokens import number_tokens, write_tokenizer
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.model import Model


@contextmanager
def open_vocabulary(base: Path, new_tokens: Sequence[NewToken] = ()) -> Iterator[Model]:
    """The model at ``base``, a GGUF or a Hugging Face folder, without its weights, and with
    ``new_tokens`` in its vocabulary.

    Raises:
        TrainError: it is neither, llama.cpp does not support its vocabulary, or that cannot get
            new tokens.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = base
        if not base.exists():
            raise TrainError(f"{base}: no such folder or file")
        if base.is_dir() or new_tokens:
            file = Path(folder) / "vocabulary.gguf"
            try:
                _write_vocabulary(base, new_tokens, file)
            except ConvertError as error:
                raise TrainError(str(error)) from error
        try:
            model = Model(str(file), vocabulary_only=True)
        except EngineError as error:
            raise TrainError(str(error)) from error
        with model:
            yield model


def vocabulary_size(base: Path, new_tokens: Sequence[NewToken]) -> int:
    """Rows of the embedding of the folder ``base`` with ``new_tokens``. Some bases have rows
    without a token, which new tokens take first.

    Raises:
        ConvertError: the config of the base cannot be read.
        TrainError: see ``number_tokens``.
    """
    return max(read_config(base).vocab_size, number_tokens(base, new_tokens).stop)


def _write_vocabulary(base: Path, new_tokens: Sequence[NewToken], file: Path) -> None:
    if not new_tokens:
        write_vocabulary(base, file)
        return
    write_tokenizer(base, new_tokens, file.parent)
    write_vocabulary(
        base,
        file,
        tokenizer=file.parent,
        vocab_size=vocabulary_size(base, new_tokens),
        words=tuple(token.text for token in new_tokens if not token.special),
    )
