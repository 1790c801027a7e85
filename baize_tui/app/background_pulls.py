"""Models that are being pulled while the person chats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from baize_tui.catalog.pull_process import pull_in_process
from baize_tui.catalog.recipes import CatalogError

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp


class BackgroundPulls:
    """The pulls on their way, by the names of their models and adapters."""

    def __init__(self, app: BaizeApp) -> None:
        self._app = app
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, float] = {}
        self.listeners: list[Callable[[], object]] = []
        """Called whenever one got on, ended or failed."""

    def part_of(self, name: str) -> float | None:
        """How much of ``name`` is here, 0.0 to 1.0; None where it is not being pulled."""
        return self._done.get(name)

    @property
    def words(self) -> str:
        """What goes on, for the status line."""
        return ", ".join(f"pulling {name} {part:.0%}" for name, part in self._done.items())

    def start(self, name: str) -> None:
        if name not in self._tasks:
            self._done[name] = 0.0
            self._tasks[name] = asyncio.create_task(self._pull(name), name=f"pull {name}")
            self._tell()

    def stop(self, name: str) -> bool:
        """End a pull; what came is kept for the next time. False where there is none."""
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
        return task is not None

    async def close(self) -> None:
        """End all of them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, name: str) -> None:
        def report(done: int, total: int) -> None:
            self._done[name] = done / max(total, 1)
            self._tell()

        try:
            await pull_in_process(name, report)
        except CatalogError as error:
            self._app.notify(str(error), severity="error", timeout=30, markup=False)
        else:
            self._app.notify(f"{name} is ready.", markup=False)
        finally:
            del self._tasks[name], self._done[name]
            self._tell()

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()
