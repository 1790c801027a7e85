"""Progress of reading a prompt, also inside a batch that takes seconds.

Large batches are read faster, but llama.cpp reports nothing until one is done. Meanwhile the
progress is estimated from the speed of earlier batches.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPORT_EVERY_S = 0.2
"""Interval of the estimates."""


class ReadingProgress:
    """Estimates progress from how fast this model has read so far."""

    def __init__(self) -> None:
        self.seconds_per_token: float | None = None
        """Of the last batch."""

    @contextmanager
    def batch(self, done: int, size: int, on_estimate: Callable[[int], None]) -> Iterator[None]:
        """While ``size`` tokens after ``done`` are read, estimate how many are done.

        ``on_estimate`` runs in a thread of its own, which ends with the block.
        """
        began, ended = time.perf_counter(), threading.Event()
        per_token = self.seconds_per_token
        reporter: threading.Thread | None = None

        def report_repeatedly(per_token: float) -> None:
            last = done
            while not ended.wait(REPORT_EVERY_S):
                likely = done + min(int((time.perf_counter() - began) / per_token), size - 1)
                if likely > last:
                    on_estimate(likely)
                last = max(last, likely)

        if per_token is not None and per_token * size > REPORT_EVERY_S:
            reporter = threading.Thread(
                target=report_repeatedly, args=(per_token,), name="progress", daemon=True
            )
            reporter.start()
        try:
            yield
            self.seconds_per_token = (time.perf_counter() - began) / size
        finally:
            ended.set()
            if reporter is not None:
                reporter.join()
