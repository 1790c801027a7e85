"""The store in a thread of its own, so that no screen waits for the disk."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreError
from baize_tui.store.records import AnswerContent
from baize_tui.translation import tr

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """Calls a store in one thread, in the order of the calls."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_memory(self) -> bool:
        """Whether nothing is saved."""
        return self.store.database.file is None

    @property
    def damaged_file(self) -> Path | None:
        """Where a damaged file was moved when it was opened."""
        return self.store.damaged_file

    @property
    def why_read_only(self) -> str:
        """Why nothing can be saved, in one line; empty if it can."""
        return self.store.why_read_only

    async def call(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run ``work``, a method of the store, in the thread.

        Raises:
            StoreError: the file cannot be read or written.
        """
        if self.closed:
            raise StoreError(tr("the client is ending"))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, functools.partial(work, *args, **named))

    async def wait_for_earlier_calls(self) -> None:
        """Return once everything that was called before is done."""
        await self.call(_do_nothing)

    def rescue(self, contents: Callable[[], list[AnswerContent]], limit_s: float) -> None:
        """Write ``contents()`` from another thread, while the event loop hangs.

        What cannot be written within ``limit_s`` seconds stays as the journal has it.
        """
        # The store's thread may still have older text of the same answers to write.
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._executor.submit(_do_nothing).result(limit_s / 2)
        with contextlib.suppress(StoreError):
            self.store.answers.rescue(contents(), limit_s / 2)

    def close(self) -> None:
        """Finish what was called, and close the file; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._executor.shutdown()
            self.store.close()


def _do_nothing() -> None:
    """A call that returns once all earlier calls are done."""


def open_store(file: Path | None) -> StoreThread:
    """Open the conversations in ``file``; None keeps them in memory.

    Raises:
        StoreError: no permission, or a newer program wrote the file.
    """
    return StoreThread(Store(file))
