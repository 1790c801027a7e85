"""Pulls of models and adapters that run while the person chats."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from textual.dom import DOMNode
from textual.signal import Signal

from baize_tui.catalog.pull_process import pull_in_process
from baize_tui.catalog.recipes import CatalogError
from baize_tui.translation import msg, tr

PULLING = msg("pulling {name} {part}")


class PullProgress(Struct, frozen=True):
    """``name`` is being pulled; ``part`` is 0.0 to 1.0."""

    name: str
    part: float


class PullFinished(Struct, frozen=True):
    """``name`` is on this machine."""

    name: str


class PullStopped(Struct, frozen=True):
    """The person stopped the pull of ``name``."""

    name: str


class PullFailed(Struct, frozen=True):
    """The pull of ``name`` failed; ``reason`` is one line."""

    name: str
    reason: str


PullEvent = PullProgress | PullFinished | PullStopped | PullFailed


class BackgroundPulls:
    """The pulls that are running, by the names of their models and adapters."""

    def __init__(self, owner: DOMNode) -> None:
        """The signal ``events`` lives as long as the node ``owner``."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parts: dict[str, float] = {}
        self.events: Signal[PullEvent] = Signal(owner, "pulls")

    def part(self, name: str) -> float | None:
        """How much of ``name`` was pulled, 0.0 to 1.0; None if no pull of it is running."""
        return self._parts.get(name)

    @property
    def status_text(self) -> str:
        """The running pulls, for the status line."""
        return ", ".join(
            tr(PULLING, name=name, part=f"{part:.0%}") for name, part in self._parts.items()
        )

    def start(self, name: str) -> None:
        """Pull ``name``, unless a pull of it is running."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._pull(name), name=f"pull {name}")
            self._report(name, 0.0)

    def stop(self, name: str) -> bool:
        """Stop a pull; the next one resumes it. False if none is running."""
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
        return task is not None

    async def close(self) -> None:
        """Stop all pulls."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, name: str) -> None:
        end: PullEvent = PullStopped(name)
        try:
            await pull_in_process(
                name, lambda done, total: self._report(name, done / max(total, 1))
            )
        except CatalogError as error:
            end = PullFailed(name, str(error))
        else:
            end = PullFinished(name)
        finally:
            del self._tasks[name], self._parts[name]
            self.events.publish(end)

    def _report(self, name: str, part: float) -> None:
        self._parts[name] = part
        self.events.publish(PullProgress(name, part))
