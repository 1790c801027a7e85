"""Runs a GGUF with llama.cpp, in the worker process of the chat client.

If kernels crash on this machine, the client starts the worker again with safer settings. This is
the only module of the converter that imports the client.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baize_convert import PROGRAM
from baize_convert.failures import ConvertError
from baize_shared.printing import print_message

if TYPE_CHECKING:
    from baize_tui.engine.blocking import BlockingEngine


class LlamaModel:
    """A loaded model; see ``open_model``."""

    def __init__(self, engine: BlockingEngine, path: Path, context: int) -> None:
        from baize_tui.engine.client import ModelSpec

        self._engine = engine
        self._path = path
        loaded = engine.load(ModelSpec(str(path), context=context, all_logits=True))
        self.n_vocab = loaded.n_vocab
        self.begin = loaded.begin
        """The ids that begin every text."""

    def tokenize(self, text: str) -> list[int]:
        """The ids of ``text``; none before it, and special tokens in it count as text."""
        return self._engine.tokenize(str(self._path), text)

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """The logits after each of ``ids``: [ids, vocabulary]."""
        with tempfile.TemporaryDirectory(prefix="baize-logits-") as folder:
            file = Path(folder) / "logits"
            self._engine.write_logits(ids, file)
            return np.fromfile(file, np.float32).reshape(len(ids), self.n_vocab)


@contextmanager
def open_model(path: Path, context: int) -> Iterator[LlamaModel]:
    """Load the model at ``path`` with a context of ``context`` tokens.

    Raises:
        ConvertError: llama.cpp cannot run it.
    """
    with _engine() as engine:
        yield LlamaModel(engine, path, context)


@contextmanager
def open_tokenizer(path: Path) -> Iterator[Callable[[str], list[int]]]:
    """The tokenizer of the GGUF at ``path``, without special tokens; no weights are read.

    Raises:
        ConvertError: llama.cpp cannot read its vocabulary.
    """
    with _engine() as engine:
        yield lambda text: engine.tokenize(str(path), text)


@contextmanager
def _engine() -> Iterator[BlockingEngine]:
    # Imported when used: only ``verify`` runs a model.
    from baize_tui.engine.blocking import BlockingEngine
    from baize_tui.engine.client import EngineFailure
    from baize_tui.paths import project_paths

    try:
        with BlockingEngine(project_paths(), _print_notice) as engine:
            yield engine
    except EngineFailure as failure:
        raise ConvertError(str(failure)) from failure


def _print_notice(notice: str) -> None:
    print_message(PROGRAM, notice)
