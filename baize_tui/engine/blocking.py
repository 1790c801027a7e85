"""The engine for code without an event loop: each call waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import AdapterUse, LoadedModel, Prompt
from baize_tui.paths import Paths


class BlockingEngine:
    """A ``WorkerEngine`` with an event loop of its own; its methods raise the same failures."""

    def __init__(self, paths: Paths, on_notice: Callable[[str], None]) -> None:
        self._engine = WorkerEngine(paths, on_notice)
        self._runner = asyncio.Runner()

    def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model in place of the current one."""
        return self._runner.run(self._engine.load(spec))

    def tokenize(self, path: str, text: str) -> list[int]:
        """Ids of ``text`` alone, with the vocabulary of the GGUF file ``path``."""
        return self._runner.run(self._engine.tokenize(path, text))

    def encode(self, path: str, texts: list[str], *, add_special: bool = False) -> list[list[int]]:
        """Ids of each text, with the vocabulary of the GGUF file ``path``."""
        return self._runner.run(self._engine.encode(path, texts, add_special=add_special))

    def write_template(self, path: str, prompt: Prompt) -> str:
        """The text that the template of ``prompt``, or of the GGUF file ``path``, makes of it."""
        return self._runner.run(self._engine.write_template(path, prompt))

    def losses(self, ids: list[int], adapters: Sequence[AdapterUse] = ()) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats."""
        return self._runner.run(self._engine.losses(ids, adapters))

    def write_logits(self, ids: list[int], output: Path) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary]."""
        self._runner.run(self._engine.write_logits(ids, output))

    def close(self) -> None:
        """End the worker."""
        self._runner.run(self._engine.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
