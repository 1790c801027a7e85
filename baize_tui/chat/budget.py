"""What fits into the context: whole oldest turns leave, never a part of one, never in silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from baize_tui.store.records import Message

FILL_AFTER_CUT = 0.75
"""How full the context is after turns have left, so that the next question does not cut again."""
SMALLEST_RESERVE = 64


def reserve_for_answer(max_tokens: int, n_ctx: int) -> int:
    """Tokens of the context kept free for the answer: what is asked, at most a quarter."""
    return max(1, min(max_tokens, max(n_ctx // 4, SMALLEST_RESERVE)))


def turn_starts(messages: Sequence[Message]) -> list[int]:
    """Indices at which a turn begins: each question."""
    return [i for i, message in enumerate(messages) if message.role == "user"]


async def first_kept(
    messages: Sequence[Message], limit: int, count: Callable[[int], Awaitable[int]]
) -> int | None:
    """Index of the oldest message to keep so that the prompt has at most ``limit`` tokens.

    ``count(i)`` gives the tokens of the prompt without the first ``i`` messages. The last turn is
    always kept; None where even that alone is too long.
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
