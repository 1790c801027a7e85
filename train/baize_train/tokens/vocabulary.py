"""The vocabulary and the chat template of a base, as llama.cpp will read them after the merge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.output.vocabulary_file import write_vocabulary
from baize_train.errors import TrainError
from baize_tui.engine.bindings import EngineError, Model


@contextmanager
def open_vocabulary(base: Path) -> Iterator[Model]:
    """The model at ``base``, a GGUF or a Hugging Face folder, without its weights.

    Raises:
        TrainError: it is neither, or llama.cpp does not support its vocabulary.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = base
        if base.is_dir():
            file = Path(folder) / "vocabulary.gguf"
            try:
                write_vocabulary(base, file)
            except ConvertError as error:
                raise TrainError(str(error)) from error
        elif not base.is_file():
            raise TrainError(f"{base}: no such folder or file")
        try:
            model = Model(str(file), vocabulary_only=True)
        except EngineError as error:
            raise TrainError(str(error)) from error
        with model:
            yield model
