"""Makes room in a full context: the oldest turns leave it, and a summary may take their place."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from baize_tui.chat.answer_plan import AnswerPlan
from baize_tui.chat.context import History, first_to_keep, oldest, without_oldest
from baize_tui.chat.errors import NoSummary
from baize_tui.chat.events import Summarizing
from baize_tui.chat.summaries import Attach, SummaryWriter
from baize_tui.engine.client import Engine, EngineFailure, Generation
from baize_tui.engine.protocol import Count
from baize_tui.settings import Overflow
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

_STAND_IN = "…"
"""Takes the place of a summary that is not written yet, while tokens are counted."""
_NO_ROOM = msg("there is no room for it")
_LEFT_OUT = msg("the earlier one is left out: there is no room for it")


class ContextCut(Struct, frozen=True):
    """A history without its oldest turns."""

    first: Message
    """The first message that the model still sees, apart from pinned turns."""
    history: History
    why_no_summary: str = ""
    """Why the turns have no summary although they should; empty if there is nothing to say."""


class _Prepared(Struct, frozen=True):
    """A cut that was made ahead, and what it was made of."""

    conversation: str
    overflow: Overflow
    earlier: str
    """The summary before."""
    dropped: list[int]
    """Numbers of the messages that were dropped."""
    first: int
    """Number of the first message that the model sees; 0 for the question, which was a draft."""
    summary: str
    why_no_summary: str


class ContextCutter:
    """Cuts histories; a cut that is made ahead is used when a question needs it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._prepared: _Prepared | None = None

    async def cut(
        self, plan: AnswerPlan, history: History, attach: Attach, *, spare: int = 0
    ) -> AsyncGenerator[Summarizing | ContextCut, None]:
        """Drop the oldest turns of ``history``, which does not fit into the context; the cut comes
        last. ``spare`` tokens are to be left besides the room for the answer.

        Raises:
            EngineFailure: even the last question with the pinned turns is too long.
            StoppedBeforeStart: the person stopped the summary.
        """
        prepared = self._prepared_for(plan, history)
        if prepared is not None and await self._fits(plan, prepared.history, spare):
            yield prepared
            return
        why = ""
        if plan.overflow == "summarize":
            try:
                async with contextlib.aclosing(
                    self._summarize(plan, history, attach, spare)
                ) as steps:
                    async for step in steps:
                        yield step
            except (EngineFailure, NoSummary) as error:
                is_too_long = isinstance(error, EngineFailure) and error.kind == "too_long"
                why = tr(_NO_ROOM) if is_too_long else str(error)
            else:
                return
        yield await self._drop(plan, history, spare, why)

    async def can_prepare(self, plan: AnswerPlan, history: History, spare: int) -> bool:
        """Whether ``history`` has to be cut if the next question takes ``spare`` tokens, and this
        can be done ahead.

        Raises:
            EngineFailure: the chat template failed, or the worker died.
        """
        return plan.overflow != "stop" and not await self._fits(plan, history, spare)

    async def prepare(self, plan: AnswerPlan, history: History, spare: int) -> History | None:
        """Cut ``history`` ahead; returns what the model will see then, or None if even the last
        turn is too long.

        Nothing of it is stored before a question is sent.

        Raises:
            EngineFailure: the model failed.
        """
        cut: ContextCut | None = None
        try:
            async for step in self.cut(plan, history, _let_run, spare=spare):
                cut = step if isinstance(step, ContextCut) else cut
        except EngineFailure as failure:
            if failure.kind != "too_long":
                raise
        if cut is None:
            return None
        messages = history.messages
        at = messages.index(cut.first)
        self._prepared = _Prepared(
            plan.conversation.id,
            plan.overflow,
            history.summary,
            [message.id for message in oldest(messages, at)],
            cut.first.id,
            cut.history.summary,
            cut.why_no_summary,
        )
        return cut.history

    def _prepared_for(self, plan: AnswerPlan, history: History) -> ContextCut | None:
        """The cut that was made ahead, if it is one of ``history``."""
        prepared, messages = self._prepared, history.messages
        if (
            prepared is None
            or (prepared.conversation, prepared.overflow) != (plan.conversation.id, plan.overflow)
            or prepared.earlier != history.summary
        ):
            return None
        ids = [*(message.id for message in messages[:-1]), 0]
        at = ids.index(prepared.first) if prepared.first in ids else 0
        if not at or prepared.dropped != [message.id for message in oldest(messages, at)]:
            return None
        return _cut_at(messages, at, prepared.summary, prepared.why_no_summary)

    async def _summarize(
        self, plan: AnswerPlan, history: History, attach: Attach, spare: int
    ) -> AsyncGenerator[Summarizing | ContextCut, None]:
        """Cut ``history`` and write a summary of what leaves it.

        Raises:
            EngineFailure: the model failed, or there is no room for a summary.
            NoSummary, StoppedBeforeStart: as their messages say.
        """
        writer = SummaryWriter(self._engine, plan, attach)
        to_come = History(history.messages, _STAND_IN)
        first = await self._first_to_keep(plan, to_come, spare + writer.most_tokens)
        steps = writer.write(history.summary, oldest(history.messages, first))
        async with contextlib.aclosing(steps):
            async for done in steps:
                yield Summarizing(done)
        cut = _cut_at(history.messages, first, writer.text)
        if not await self._fits(plan, cut.history, spare):
            raise NoSummary(tr(_NO_ROOM))
        yield cut

    async def _drop(self, plan: AnswerPlan, history: History, spare: int, why: str) -> ContextCut:
        """Cut ``history``; an earlier summary stays, if there is room for it.

        Raises:
            EngineFailure: ``too_long``, as ``first_to_keep``.
        """
        try:
            first = await self._first_to_keep(plan, history, spare)
        except EngineFailure as failure:
            if failure.kind != "too_long" or not history.summary:
                raise
            without = History(history.messages)
            first = await self._first_to_keep(plan, without, spare)
            why = why or tr(_LEFT_OUT)
            return _cut_at(history.messages, first, "", why)
        return _cut_at(history.messages, first, history.summary, why)

    async def _first_to_keep(self, plan: AnswerPlan, history: History, spare: int) -> int:
        async def count(shorter: History) -> int:
            return await self._count(plan, shorter)

        return await first_to_keep(
            history, plan.n_ctx, plan.reserve, count, spare, plan.advice_if_too_long
        )

    async def _fits(self, plan: AnswerPlan, history: History, spare: int) -> bool:
        return await self._count(plan, history) + spare <= plan.room

    async def _count(self, plan: AnswerPlan, history: History) -> int:
        return await self._engine.count(Count(0, plan.prompt(history)))


def _cut_at(
    messages: Sequence[Message], first: int, summary: str, why_no_summary: str = ""
) -> ContextCut:
    history = History(without_oldest(messages, first), summary)
    return ContextCut(messages[first], history, why_no_summary)


def _let_run(generation: Generation) -> Generation:
    """Idle work is stopped by cancelling its task."""
    return generation
