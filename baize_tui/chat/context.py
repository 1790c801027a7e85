"""What fits into the context: whole oldest turns are dropped, never a part of one, and always
reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from baize_tui.engine.client import EngineFailure
from baize_tui.store.records import Message

_FILL_AFTER_DROP = 0.75
"""How full the context may be after turns were dropped, so that the next question need not drop
more."""
_SMALLEST_RESERVE = 64


class KeptHistory(Struct, frozen=True):
    """What is left of a history: pinned turns, and everything from ``first`` on."""

    first: Message
    messages: Sequence[Message]


DraftEffect = Literal["fits", "drops_turns", "fails"]
"""What sending a draft would do. The oldest turns may have to leave the context first; where that
is not allowed, or not enough, sending fails."""


class ContextUse(Struct, frozen=True):
    """The context of a conversation, as the next question finds it."""

    tokens: int
    """Of the prompt; with the draft, if there is one."""
    has_draft: bool
    effect: DraftEffect


def reserve_for_answer(max_tokens: int, n_ctx: int) -> int:
    """How many of ``n_ctx`` tokens are kept free for the answer: ``max_tokens``, but at most a
    quarter of the context."""
    return max(1, min(max_tokens, max(n_ctx // 4, _SMALLEST_RESERVE)))


def visible_messages(path: Sequence[Message], context_start: int | None) -> Sequence[Message]:
    """What the model sees of a branch: everything from message ``context_start`` on, and pinned
    turns before it."""
    start = next((i for i, message in enumerate(path) if message.id == context_start), 0)
    return without_oldest(path, start)


def without_oldest(messages: Sequence[Message], first: int) -> Sequence[Message]:
    """``messages`` from index ``first`` on, and the pinned turns before it."""
    starts = [start for start in _turn_starts(messages) if start < first]
    kept: list[Message] = []
    for start, end in pairwise([*starts, first]):
        turn = messages[start:end]
        if any(message.pinned for message in turn):
            kept.extend(turn)
    return [*kept, *messages[first:]]


async def drop_oldest_turns(
    history: Sequence[Message],
    n_ctx: int,
    reserve: int,
    count: Callable[[Sequence[Message]], Awaitable[int]],
) -> KeptHistory:
    """``history`` without its oldest turns that do not fit; pinned turns and the last one stay.

    ``n_ctx`` and ``reserve`` are the tokens of the context and those kept free for the answer;
    ``count`` returns the tokens of a prompt with the given messages.

    Raises:
        EngineFailure: ``too_long``, if even the last turn with the pinned ones does not fit.
    """
    room = n_ctx - reserve
    starts = _turn_starts(history)

    async def count_from(first: int) -> int:
        return await count(without_oldest(history, first))

    first = await _first_that_fits(starts, int(room * _FILL_AFTER_DROP), count_from)
    if first is None:
        first = await _first_that_fits(starts, room, count_from)
    if first is None:
        tokens = await count_from(starts[-1])
        pinned = "the pinned turns and " if any(m.pinned for m in history[:-1]) else ""
        raise EngineFailure(
            f"the message is too long: with {pinned}the system prompt it has {tokens} tokens, and "
            f"{reserve} are reserved for the answer, but the context has {n_ctx}. Shorten it, or "
            "set a larger model.context",
            "too_long",
            tokens,
            n_ctx,
        )
    return KeptHistory(history[first], without_oldest(history, first))


async def fits_alone(
    history: Sequence[Message], room: int, count: Callable[[Sequence[Message]], Awaitable[int]]
) -> bool:
    """Whether the last turn of ``history``, with the pinned ones, has at most ``room`` tokens, and
    there is another turn that can be dropped."""
    starts = _turn_starts(history)
    return len(starts) > 1 and await count(without_oldest(history, starts[-1])) <= room


async def _first_that_fits(
    starts: Sequence[int], limit: int, count_from: Callable[[int], Awaitable[int]]
) -> int | None:
    """The smallest of ``starts``, after the first, whose prompt has at most ``limit`` tokens; None
    if even the last one has more."""
    low, high = 1, len(starts) - 1
    if high < low or await count_from(starts[high]) > limit:
        return None
    while low < high:
        middle = (low + high) // 2
        if await count_from(starts[middle]) <= limit:
            high = middle
        else:
            low = middle + 1
    return starts[low]


def _turn_starts(messages: Sequence[Message]) -> list[int]:
    """Indices at which a turn begins: each question."""
    return [i for i, message in enumerate(messages) if message.role == "user"]
