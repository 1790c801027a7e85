"""How far the reading of a prompt is, also inside a batch that takes seconds.

Large batches are read faster, but llama.cpp tells nothing until one is done. Meanwhile the speed of
those before says how far it is likely to be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TELL_EVERY_S = 0.2


class ReadingProgress:
    """Knows how fast this model reads, once it has read something."""

    def __init__(self) -> None:
        self._seconds_each: float | None = None

    @contextmanager
    def batch(self, done: int, size: int, tell: Callable[[int], None]) -> Iterator[None]:
        """While ``size`` tokens after ``done`` are read, ``tell`` hears how many are likely done.

        ``tell`` runs in a thread of its own, and no more once the block has ended.
        """
        began, ended = time.perf_counter(), threading.Event()
        each = self._seconds_each
        teller: threading.Thread | None = None

        def tell_often(each: float) -> None:
            last = done
            while not ended.wait(TELL_EVERY_S):
                likely = done + min(int((time.perf_counter() - began) / each), size - 1)
                if likely > last:
                    tell(likely)
                last = max(last, likely)

        if each is not None and each * size > TELL_EVERY_S:
            teller = threading.Thread(target=tell_often, args=(each,), name="progress", daemon=True)
            teller.start()
        try:
            yield
            self._seconds_each = (time.perf_counter() - began) / size
        finally:
            ended.set()
            if teller is not None:
                teller.join()
