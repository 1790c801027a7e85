"""When the next request to a server may start: its limits are followed, or learned from its 429s.

After a 429 nothing is sent until the server allows it. Then one request tries, and if it succeeds
the others follow at the rate that the server has taken so far. Both the rate and the number of
requests at once grow slowly again, so that few requests are spent on finding the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Literal

from msgspec import Struct

from baize_train.speakers.speaker import RateLimits

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LONGEST_PAUSE_S = 300.0
"""A server that refuses for longer ends the command. Headers that announce more are not followed:
the next request shows what is true."""
REFUSED_WAIT_S = 3.0
"""After a 429 that does not say how long; more after each further one."""
_FIRST_AT_ONCE = 4
"""Until a server has shown that it takes more: a limit may end a burst."""
_SUCCESSES_TO_GROW = 25
_SUCCESSES_TO_GROW_AT_FIRST = 10
"""Before the first 429, and where the rate is only a guess."""
_RATE_GROWTH = 1.05
_RATE_MARGIN = 0.95
"""A little slower than measured, as responses come in bursts."""
_RATE_CUT = 0.7
"""Where a server refuses the first request after a wait."""

Outcome = Literal["success", "rate limit", "failure", "cancelled"]


def backoff_s(failures: int) -> float:
    """How long to wait after ``failures`` in a row, at random so that not all return at once."""
    return min(FIRST_WAIT_S * 2.0 ** (failures - 1), LONGEST_WAIT_S) * (0.75 + random.random() / 2)


class Ticket(Struct, frozen=True):
    """A request that has been let through."""

    epoch: int
    is_probe: bool


class RequestGate:
    """Lets requests through to one server, ``maximum`` at once."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.in_flight = 0
        self.last_success: float | None = None
        """Of ``time.monotonic``; None if no request has succeeded."""
        self._limit = min(maximum, _FIRST_AT_ONCE)
        self._rate: float | None = None
        """Requests per second; None is no limit known."""
        self._is_guess = True
        """Whether the server has not said when its limit ends."""
        self._earliest = self._closed_until = 0.0
        self._recovering = self._probing = False
        self._epoch, self._epoch_start, self._epoch_successes = 0, time.monotonic(), 0
        self._successes = 0
        self._refusals = 0
        """429s without a success between them."""
        self._quota: tuple[int, float] | None = None
        """Requests left, and when there are more."""
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def load(self) -> float:
        """How busy the server is: 1.0 and more means that a request has to wait."""
        closed = max(self._closed_until, self._earliest) > time.monotonic() or self._recovering
        return self.in_flight / self._limit + closed

    async def enter(self) -> Ticket:
        """Wait until a request may start; ``leave`` has to follow."""
        async with self._turn:  # in the order in which they come
            while (wait := self._wait_s()) != 0:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)
            now = time.monotonic()
            self.in_flight += 1
            if self._rate is not None:
                self._earliest = now + 1 / self._rate
            if self._quota is not None:
                self._quota = (self._quota[0] - 1, self._quota[1])
            self._probing = self._recovering
            return Ticket(self._epoch, self._recovering)

    def _wait_s(self) -> float | None:
        """Seconds until a request may start; None is until another one ends."""
        now = time.monotonic()
        if self._closed_until > now:
            return self._closed_until - now
        if self.in_flight >= self._limit or (self._probing and self.in_flight):
            return None
        if self._quota is not None and self._quota[0] <= 0 and self._quota[1] > now:
            return self._quota[1] - now
        return max(0.0, self._earliest - now)

    def leave(self, ticket: Ticket, outcome: Outcome, retry_after_s: float | None = None) -> None:
        """A request has ended."""
        self.in_flight -= 1
        if ticket.is_probe:
            self._probing = False
        if outcome == "success":
            self._note_success(ticket)
        elif outcome == "rate limit":
            self._note_rate_limit(ticket, retry_after_s)
        elif outcome == "failure" and retry_after_s is not None:
            self.close_for(retry_after_s)
        self._changed.set()

    def close_for(self, seconds: float) -> None:
        """Send nothing for a while."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)
        self._changed.set()

    def note_limits(self, limits: RateLimits) -> None:
        """Follow what a response says is left."""
        now = time.monotonic()
        if limits.tokens == 0 and 0 < limits.tokens_reset_s <= LONGEST_PAUSE_S:
            self.close_for(limits.tokens_reset_s)
        if limits.requests is not None and limits.requests_reset_s > LONGEST_PAUSE_S:
            self._quota = None
        elif limits.requests is not None:
            self._quota = (limits.requests - self.in_flight, now + limits.requests_reset_s)
        self._changed.set()

    def note_overload(self) -> None:
        """The server takes too long: ask it less at once."""
        self._limit = max(1, self._limit // 2)

    def _note_success(self, ticket: Ticket) -> None:
        self.last_success = time.monotonic()
        self._refusals = 0
        if ticket.epoch == self._epoch:
            self._epoch_successes += 1
        if ticket.is_probe:
            self._recovering = False
        self._successes += 1
        pace = _SUCCESSES_TO_GROW_AT_FIRST if self._is_guess else _SUCCESSES_TO_GROW
        if self._successes % pace == 0:
            self._limit = min(self.maximum, self._limit + 1)
            if self._rate is not None:
                self._rate *= _RATE_GROWTH

    def _note_rate_limit(self, ticket: Ticket, retry_after_s: float | None) -> None:
        now = time.monotonic()
        if ticket.epoch != self._epoch:  # it was sent before the server was known to refuse
            if retry_after_s is not None:
                self.close_for(retry_after_s)
            return
        self._refusals += 1
        self._is_guess = retry_after_s is None
        pause = retry_after_s
        if pause is None:
            pause = min(REFUSED_WAIT_S * 2.0 ** (self._refusals - 1), LONGEST_WAIT_S)
        if self._epoch_successes:
            elapsed = max(now + pause - self._epoch_start, 0.01)
            measured = _RATE_MARGIN * self._epoch_successes / elapsed
            self._rate = measured if self._rate is None else min(measured, self._rate)
        elif self._rate is not None:
            self._rate *= _RATE_CUT
        self._limit = max(1, self._limit // 2)
        self._epoch += 1
        self._epoch_start, self._epoch_successes = now + pause, 0
        self._successes = 0
        self._recovering = True
        self.close_for(pause)
