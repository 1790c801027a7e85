"""When a growing answer is drawn: not too often, because each drawing interrupts the model."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer

from baize_shared.usable_cpus import usable_cpus

DRAWS_PER_SECOND = 10
"""How often a growing answer is drawn at most."""
DRAWS_WITH_BUSY_CORES = 5
"""The same while the model computes on every core: each drawing makes all its threads wait."""
_EARLIEST, _LATEST = 0.9, 1.25
"""Times since the last drawing, as parts of the interval. New text is drawn at once from
``_EARLIEST`` on; text that was added before waits until ``_LATEST``. Text comes about as often as
it is drawn, so the next piece usually comes between the two and is drawn with the waiting one: the
client wakes up once for both."""


class DrawingRate:
    """Calls ``draw`` for new text: at once, or after a delay if the last drawing is recent."""

    def __init__(self, node: MessagePump, draw: Callable[[], None]) -> None:
        """``node`` runs the timer."""
        self._node = node
        self._draw = draw
        self._drawn_at = 0.0
        self._timer: Timer | None = None
        self.per_second = DRAWS_PER_SECOND

    def model_uses(self, threads: int) -> None:
        """The model computes with this many threads from now on."""
        full = threads >= usable_cpus()
        self.per_second = DRAWS_WITH_BUSY_CORES if full else DRAWS_PER_SECOND

    def text_added(self) -> None:
        since = time.monotonic() - self._drawn_at
        if since >= _EARLIEST / self.per_second:
            self._draw_now()
        elif self._timer is None:
            wait = _LATEST / self.per_second - since
            self._timer = self._node.set_timer(wait, self._draw_now)

    def stop(self) -> None:
        """Stop the timer: the answer has ended."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _draw_now(self) -> None:
        self.stop()
        self._drawn_at = time.monotonic()
        self._draw()
