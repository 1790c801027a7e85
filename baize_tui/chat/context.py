"""What fits into the context: whole oldest turns are dropped, never a part of one, and always
reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from baize_tui.engine.client import EngineFailure
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

_FILL_AFTER_DROP = 0.75
"""How full the context may be after turns were dropped, so that the next question need not drop
more."""
_SMALLEST_RESERVE = 64


class History(Struct, frozen=True):
    """What the model sees of a branch."""

    messages: Sequence[Message]
    summary: str = ""
    """What it is told in place of the turns above, where it no longer sees them."""

    def with_question(self, question: Message) -> History:
        """The same with ``question`` at the end."""
        return History([*self.messages, question], self.summary)

    def without_question(self) -> History:
        """The same without its last message."""
        return History(self.messages[:-1], self.summary)


Count = Callable[[History], Awaitable[int]]
"""Returns the tokens of the prompt with a history."""

DraftEffect = Literal["fits", "drops_turns", "summarizes_turns", "fails"]
"""What sending a draft would do. The oldest turns may have to leave the context first; where that
is not allowed, or not enough, sending fails."""


class ContextUse(Struct, frozen=True):
    """The context of a conversation, as the next question finds it."""

    tokens: int
    """Of the prompt; with the draft, if there is one."""
    has_draft: bool
    effect: DraftEffect
    is_estimate: bool = False
    """Whether ``tokens`` were estimated, as for a server whose vocabulary nobody knows here."""


def reserve_for_answer(max_tokens: int, n_ctx: int) -> int:
    """How many of ``n_ctx`` tokens are kept free for the answer: ``max_tokens``, but at most a
    quarter of the context."""
    return max(1, min(max_tokens, max(n_ctx // 4, _SMALLEST_RESERVE)))


def visible_history(path: Sequence[Message], context_start: int | None) -> History:
    """What the model sees of a branch: everything from its start of the context on, and pinned
    turns and a summary in place of the rest."""
    start = start_of_context(path, context_start)
    if start is None:
        return History(path)
    return History(without_oldest(path, start), path[start].summary)


def start_of_context(path: Sequence[Message], context_start: int | None) -> int | None:
    """Where the context starts on a branch: the index of the last message that is
    ``context_start``, or has a summary of what is above it. None if nothing was dropped."""
    starts = (i for i, message in enumerate(path) if message.id == context_start or message.summary)
    return max(starts, default=None)


def without_oldest(messages: Sequence[Message], first: int) -> Sequence[Message]:
    """``messages`` from index ``first`` on, and the pinned turns before it."""
    kept, _ = _split(messages, first)
    return [*kept, *messages[first:]]


def oldest(messages: Sequence[Message], first: int) -> Sequence[Message]:
    """The messages that ``without_oldest`` leaves out."""
    _, dropped = _split(messages, first)
    return dropped


def _split(messages: Sequence[Message], first: int) -> tuple[list[Message], list[Message]]:
    """The messages before index ``first``: those of pinned turns, and the others."""
    starts = [start for start in _turn_starts(messages) if start < first]
    kept: list[Message] = []
    dropped = list(messages[: starts[0] if starts else first])
    for start, end in pairwise([*starts, first]):
        turn = messages[start:end]
        (kept if any(message.pinned for message in turn) else dropped).extend(turn)
    return kept, dropped


SHORTEN = msg("Shorten it")
SHORTEN_OR_ENLARGE = msg("Shorten it, or set a larger model.context")
_TOO_LONG = {
    (False, False): msg(
        "the message is too long: with the system prompt it has {tokens} tokens, and {reserve} are "
        "reserved for the answer, but the context has {context}. {advice}"
    ),
    (True, False): msg(
        "the message is too long: with the pinned turns and the system prompt it has {tokens} "
        "tokens, and {reserve} are reserved for the answer, but the context has {context}. {advice}"
    ),
    (False, True): msg(
        "the message is too long: with the summary and the system prompt it has {tokens} tokens, "
        "and {reserve} are reserved for the answer, but the context has {context}. {advice}"
    ),
    (True, True): msg(
        "the message is too long: with the pinned turns, the summary and the system prompt it has "
        "{tokens} tokens, and {reserve} are reserved for the answer, but the context has "
        "{context}. {advice}"
    ),
}
"""By whether there are pinned turns, and a summary."""


async def first_to_keep(
    history: History,
    n_ctx: int,
    reserve: int,
    count: Count,
    spare: int = 0,
    advice: str = "",
) -> int:
    """From which message of ``history`` on everything fits, with the pinned turns before it.

    ``n_ctx`` and ``reserve`` are the tokens of the context and those kept free for the answer;
    ``spare`` are those that the prompt will have besides. ``advice`` says what to do where nothing
    fits.

    Raises:
        EngineFailure: ``too_long``, if even the last turn with the pinned ones does not fit.
    """
    messages, room = history.messages, n_ctx - reserve
    starts = _turn_starts(messages)

    async def count_from(first: int) -> int:
        return await count(History(without_oldest(messages, first), history.summary)) + spare

    first = await _first_that_fits(starts, int(room * _FILL_AFTER_DROP), count_from)
    if first is None:
        first = await _first_that_fits(starts, room, count_from)
    if first is None:
        tokens = await count_from(starts[-1])
        has_pinned = any(message.pinned for message in messages[:-1])
        why = tr(
            _TOO_LONG[has_pinned, bool(history.summary)],
            tokens=tokens,
            reserve=reserve,
            context=n_ctx,
            advice=advice or tr(SHORTEN_OR_ENLARGE),
        )
        raise EngineFailure(why, "too_long", tokens, n_ctx)
    return first


async def fits_alone(history: History, room: int, count: Count) -> bool:
    """Whether the last turn of ``history``, with the pinned ones, has at most ``room`` tokens, and
    there is another turn that can be dropped."""
    messages = history.messages
    starts = _turn_starts(messages)
    if len(starts) < 2:
        return False
    return await count(History(without_oldest(messages, starts[-1]))) <= room


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
