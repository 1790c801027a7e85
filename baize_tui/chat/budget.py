"""What fits into the context: whole oldest turns leave, never a part of one, never in silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from baize_tui.store.records import Message

FILL_AFTER_CUT = 0.75
"""How full the context is after turns have left, so that the next question does not cut again."""
SMALLEST_RESERVE = 64


def reserve_for_answer(max_tokens: int, n_ctx: int) -> int:
    """Tokens of the context kept free for the answer: what is asked, at most a quarter."""
    return max(1, min(max_tokens, max(n_ctx // 4, SMALLEST_RESERVE)))


def in_context(path: Sequence[Message], context_start: int | None) -> Sequence[Message]:
    """What the model sees of a branch: all from ``context_start`` on, and pinned turns before."""
    start = next((i for i, message in enumerate(path) if message.id == context_start), 0)
    return without_oldest(path, start)


def without_oldest(messages: Sequence[Message], first: int) -> Sequence[Message]:
    """``messages`` from index ``first`` on, with the pinned turns that stand before it."""
    starts = [start for start in turn_starts(messages) if start < first]
    kept: list[Message] = []
    for start, end in pairwise([*starts, first]):
        turn = messages[start:end]
        if any(message.pinned for message in turn):
            kept.extend(turn)
    return [*kept, *messages[first:]]


def turn_starts(messages: Sequence[Message]) -> list[int]:
    """Indices at which a turn begins: each question."""
    return [i for i, message in enumerate(messages) if message.role == "user"]


async def first_kept(
    messages: Sequence[Message], limit: int, count: Callable[[int], Awaitable[int]]
) -> int | None:
    """Index of the oldest message to keep so that the prompt has at most ``limit`` tokens.

    ``count(i)`` gives the tokens of the prompt without the first ``i`` messages, pinned ones kept.
    The last turn is always kept; None where even that alone is too long.
    """
    starts = turn_starts(messages)
    low, high = 1, len(starts) - 1
    if high < low or await count(starts[high]) > limit:
        return None
    while low < high:
        middle = (low + high) // 2
        if await count(starts[middle]) <= limit:
            high = middle
        else:
            low = middle + 1
    return starts[low]
