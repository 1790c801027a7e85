"""A GGUF as llama.cpp runs it, to compare a result with its source.

The model runs in the chat client's worker process, which survives kernels that crash on this
machine. This module is the converter's only use of that client.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError

if TYPE_CHECKING:
    from baize_tui.engine.blocking import BlockingEngine


class LlamaModel:
    """A model that is loaded for as long as ``open_model`` lasts."""

    def __init__(self, engine: BlockingEngine, path: Path, context: int) -> None:
        from baize_tui.engine.client import ModelSpec

        self._engine = engine
        self._path = path
        loaded = engine.load(ModelSpec(str(path), context=context, all_logits=True))
        self.n_vocab = loaded.n_vocab
        self.begin = loaded.begin
        """Ids in front of every text."""

    def tokenize(self, text: str) -> list[int]:
        """Ids of ``text`` alone: nothing before it, and no special token in it."""
        return self._engine.tokenize(str(self._path), text)

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """The logits after each of ``ids``: [ids, vocabulary]."""
        with tempfile.TemporaryDirectory(prefix="baize-logits-") as folder:
            file = Path(folder) / "logits"
            self._engine.write_logits(ids, file)
            return np.fromfile(file, np.float32).reshape(len(ids), self.n_vocab)


@contextmanager
def open_model(path: Path, context: int) -> Iterator[LlamaModel]:
    """The model at ``path`` with a context of ``context`` tokens.

    Raises:
        ConvertError: llama.cpp cannot run it.
    """
    with _engine() as engine:
        yield LlamaModel(engine, path, context)


@contextmanager
def open_tokenizer(path: Path) -> Iterator[Callable[[str], list[int]]]:
    """The tokenizer of the GGUF at ``path``: ids of a text alone; no weight is read.

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
        with BlockingEngine(project_paths(), _say) as engine:
            yield engine
    except EngineFailure as failure:
        raise ConvertError(str(failure)) from failure


def _say(notice: str) -> None:
    print(f"baize-convert: {notice}", file=sys.stderr)
