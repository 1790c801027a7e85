"""One answer, from prompt to saved text: the one path that every answer takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec
from msgspec import Struct

from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_in_progress import AnswerInProgress
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.answer_plan import AnswerPlan
from baize_tui.chat.answer_saver import AnswerSaver
from baize_tui.chat.context import History, visible_history
from baize_tui.chat.context_cutter import ContextCut, ContextCutter
from baize_tui.chat.destination import has_answered
from baize_tui.chat.effective_options import EffectiveOptions, with_answerer
from baize_tui.chat.engine_access import EngineAccess
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.errors import ContextFull, NoModelLoaded, StoppedBeforeStart
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerText,
    ChatEvent,
    EngineUse,
    SavedAgain,
    SaveFailed,
    TurnsDropped,
    WaitingForEngine,
    WordsLeave,
)
from baize_tui.chat.formats import UnknownFormat
from baize_tui.chat.provenance import make_provenance
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine import protocol
from baize_tui.engine.client import Engine, EngineFailure, WorkerDied
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.protocol import Prefilling, ThreadsChosen
from baize_tui.settings import SettingsError
from baize_tui.store.errors import StoreError
from baize_tui.store.records import FinalState, Message
from baize_tui.translation import msg, tr

_EXPECTED_FAILURES = (
    CatalogError,
    ContextFull,
    EngineFailure,
    NoModelLoaded,
    SettingsError,
    StoppedBeforeStart,
    StoreError,
    UnknownFormat,
    UnusableForm,
)
"""What may end an answer; the message of each is one line for the person."""


class _Attempt(Struct):
    """One answer, from the question to its end."""

    question: Message
    partial: Message | None
    """The answer to continue."""
    options: AnswerOptions
    access: EngineAccess
    answer: AnswerInProgress | None = None
    """None until the engine begins to generate."""
    notices: list[str] = []


class Answering:
    """Answers questions with the engine, one at a time, in the order in which they were asked."""

    def __init__(
        self,
        engine: Engine,
        store_thread: StoreThread,
        active_model: ActiveModel,
        options: EffectiveOptions,
        saver: AnswerSaver,
        lock: EngineLock,
        cutter: ContextCutter,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._cutter = cutter
        self._thread = store_thread
        self._store = store_thread.store
        self._active_model = active_model
        self._options = options
        self._saver = saver
        self._accesses: dict[str, EngineAccess] = {}
        self._closing = False

    @property
    def busy(self) -> set[str]:
        """Ids of the conversations with an unfinished answer."""
        return set(self._accesses)

    def stop(self, conversation_id: str) -> bool:
        """Stop the unfinished answer of a conversation; False if there is none."""
        access = self._accesses.get(conversation_id)
        if access is not None:
            access.stop()
        return access is not None

    def refuse_new(self) -> None:
        """Stop answers that are asked for from now on before they start."""
        self._closing = True

    async def stop_all(self, limit_s: float) -> None:
        """Stop the unfinished answers, and wait at most ``limit_s`` seconds for their ends."""
        for access in self._accesses.values():
            access.stop()
        ends = [asyncio.ensure_future(access.ended.wait()) for access in self._accesses.values()]
        if ends:
            await asyncio.wait(ends, timeout=limit_s)
        for end in ends:
            end.cancel()

    async def answer(
        self, question: Message, options: AnswerOptions, partial: Message | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Answer ``question``, or continue its answer ``partial``.

        A failure is the last event, never an exception. Whoever stops iterating stops the answer.
        """
        access = self._accesses[question.conversation_id] = EngineAccess()
        attempt = _Attempt(question, partial, options, access)
        if self._closing:
            access.stop()
        try:
            conversation = await self._thread.call(
                self._store.conversation, question.conversation_id
            )
            use = EngineUse("answer", conversation.title)
            async with access.queue(self._lock, use) as place:
                while (other := await place.wait()) is not None:
                    yield WaitingForEngine(other)
                async with contextlib.aclosing(self._load_and_generate(attempt)) as events:
                    async for event in events:
                        yield event
        except _EXPECTED_FAILURES as error:
            kept = None
            if attempt.answer is not None:
                died = isinstance(error, WorkerDied)
                kept = await self._saver.finish(attempt.answer, "interrupted" if died else "failed")
            yield AnswerFailed(str(error), kept)
        finally:
            if self._accesses.get(question.conversation_id) is access:
                del self._accesses[question.conversation_id]
            if attempt.answer is not None and not attempt.answer.ended:
                # The caller stopped iterating in the middle of the answer.
                await asyncio.shield(self._saver.finish(attempt.answer, "stopped"))
            access.ended.set()

    async def _load_and_generate(self, attempt: _Attempt) -> AsyncGenerator[ChatEvent, None]:
        """Load the model if necessary, then generate; this attempt holds the engine."""
        conversation = await self._thread.call(
            self._store.conversation, attempt.question.conversation_id
        )
        answerer = attempt.options.answerer
        is_without_model = conversation.model_path is None and answerer is None
        conversation = with_answerer(conversation, answerer)
        required = await self._active_model.required_for_answer(
            conversation, asked_for=answerer is not None
        )
        if required is not None:
            loading = self._active_model.load_with_progress(required)
            async with contextlib.aclosing(loading) as steps:
                async for step in steps:
                    yield step
        plan = self._options.plan(conversation, attempt.options, attempt.question, attempt.partial)
        if is_without_model:  # it was begun before a model was loaded
            model = plan.running.model
            await self._thread.call(
                self._store.set_first_model, conversation.id, model.name, model.location
            )
        path = await self._thread.call(self._store.path, attempt.question.id)
        history = visible_history(path, conversation.context_start)
        if host := plan.running.model.words_go_to:
            messages = await self._thread.call(self._store.all_messages, conversation.id)
            if not has_answered(host, messages):
                yield WordsLeave(host, len(history.messages))
        generating = self._generate_what_fits(attempt, plan, path, history)
        async with contextlib.aclosing(generating) as events:
            async for event in events:
                yield event

    async def _generate_what_fits(
        self, attempt: _Attempt, plan: AnswerPlan, path: Sequence[Message], history: History
    ) -> AsyncGenerator[ChatEvent, None]:
        """Generate after ``history``, what the model sees of ``path``; where it is too long, with
        fewer turns."""
        shift = False
        while True:
            try:
                generating = self._generate(attempt, plan, history, shift=shift)
                async with contextlib.aclosing(generating) as events:
                    async for event in events:
                        yield event
            except EngineFailure as failure:
                if failure.kind != "too_long":
                    raise
                _check_may_cut(plan, failure)
                plan = plan.in_context(failure.n_ctx)
            else:
                return
            # Each time at least one turn leaves. Once is enough where tokens can be counted; for a
            # server they are estimated.
            cut: ContextCut | None = None
            cutting = self._cutter.cut(plan, history, attempt.access.attach)
            async with contextlib.aclosing(cutting) as steps:
                async for step in steps:
                    if isinstance(step, ContextCut):
                        cut = step
                    else:
                        yield step
            assert cut is not None
            yield await self._save_cut(plan, path, cut)
            history, shift = cut.history, plan.overflow == "shift"

    async def _save_cut(
        self, plan: AnswerPlan, path: Sequence[Message], cut: ContextCut
    ) -> TurnsDropped:
        """Note what the model sees of ``path`` from now on."""
        kept, summary = cut.history, cut.history.summary
        await self._thread.call(
            self._store.set_context_start, plan.conversation.id, cut.first.id, summary
        )
        first = msgspec.structs.replace(cut.first, summary=summary)
        summarized = plan.overflow == "summarize" and not cut.why_no_summary
        dropped = len(path) - len(kept.messages)
        return TurnsDropped(first, dropped, summarized, cut.why_no_summary)

    async def _generate(
        self, attempt: _Attempt, plan: AnswerPlan, history: History, *, shift: bool = False
    ) -> AsyncGenerator[ChatEvent, None]:
        """Send the request to the engine, and report and save what it generates."""
        request = plan.request(history, shift=shift)
        generation = attempt.access.attach(self._engine.generate(request))
        async for event in generation:
            if isinstance(event, Prefilling | ThreadsChosen):
                yield event
                continue
            answer = attempt.answer
            if answer is None:
                tokenizer = plan.running.loaded.tokenizer
                answer = await self._saver.start(attempt.question, attempt.partial, tokenizer)
                attempt.answer = answer
                yield AnswerStarted(answer.message)
            if isinstance(event, protocol.Delta):
                answer.add(event)
                yield AnswerText(
                    event.text, answer.text, answer.reasoning, event.thinking, answer.tokens
                )
                if (why := answer.journal.take_problem()) is not None:
                    yield SaveFailed(why) if why else SavedAgain()
            else:
                yield await self._finish(attempt, answer, event, plan, history)

    async def _finish(
        self,
        attempt: _Attempt,
        answer: AnswerInProgress,
        event: protocol.Finished,
        plan: AnswerPlan,
        history: History,
    ) -> AnswerFinished:
        answer.replace(event)
        state: FinalState = "stopped" if event.reason == "cancelled" else "complete"
        sha256 = self._active_model.sha256
        known = self._active_model.known_sha256
        form = attempt.question.form
        checked = None
        if form is not None:
            from baize_tui.chat.forms import check_answer  # few questions have a form

            complete = event.reason == "stop"
            # In a thread: a pattern in a schema can take long.
            checked = await asyncio.to_thread(check_answer, form, event.text, complete=complete)
        made = make_provenance(plan, event, history, known, form, checked)
        message = await self._saver.finish(answer, state, made)
        if known is None and not answer.why_unsaved:
            self._saver.add_model_hash_later(message.id, sha256)
        return AnswerFinished(
            message,
            event.reason,
            event.stats,
            [*attempt.notices, *event.notices],
            answer.why_unsaved,
        )


CONTEXT_FULL = msg(
    "the context is full: {tokens} of {context} tokens, and room for the answer. Delete or branch "
    "earlier, start a new conversation, or set overflow to drop or summarize"
)


def _check_may_cut(plan: AnswerPlan, failure: EngineFailure) -> None:
    """Check that turns may leave the context, for which the prompt is too long.

    Raises:
        ContextFull: the conversation is set to drop nothing.
    """
    if plan.overflow == "stop":
        n_ctx = failure.n_ctx or plan.n_ctx
        raise ContextFull(tr(CONTEXT_FULL, tokens=failure.tokens, context=n_ctx))
