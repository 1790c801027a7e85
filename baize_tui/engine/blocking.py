"""The engine for code that waits: each call returns its answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import AdapterUse, LoadedModel, Prompt
from baize_tui.paths import Paths

T = TypeVar("T")


class BlockingEngine:
    """A ``WorkerEngine`` with an event loop of its own; its methods raise the same failures.

    The loop runs in a thread, so that the caller may have one too.
    """

    def __init__(self, paths: Paths, on_notice: Callable[[str], None]) -> None:
        self._engine = WorkerEngine(paths, on_notice)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="blocking engine", daemon=True
        )
        self._thread.start()

    def _wait_for(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model in place of the current one."""
        return self._wait_for(self._engine.load(spec))

    def tokenize(self, path: str, text: str) -> list[int]:
        """Ids of ``text`` alone, with the vocabulary of the GGUF file ``path``."""
        return self._wait_for(self._engine.tokenize(path, text))

    def encode(self, path: str, texts: list[str], *, add_special: bool = False) -> list[list[int]]:
        """Ids of each text, with the vocabulary of the GGUF file ``path``."""
        return self._wait_for(self._engine.encode(path, texts, add_special=add_special))

    def write_template(self, path: str, prompt: Prompt) -> str:
        """The text that the template of ``prompt``, or of the GGUF file ``path``, makes of it."""
        return self._wait_for(self._engine.write_template(path, prompt))

    def losses(self, ids: list[int], adapters: Sequence[AdapterUse] = ()) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats."""
        return self._wait_for(self._engine.losses(ids, adapters))

    def write_logits(self, ids: list[int], output: Path) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary]."""
        self._wait_for(self._engine.write_logits(ids, output))

    def close(self) -> None:
        """End the worker."""
        self._wait_for(self._engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
