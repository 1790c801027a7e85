"""What the engine does while nobody waits for an answer, so that the next one begins at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.answer_plan import AnswerPlan
from baize_tui.chat.context import History
from baize_tui.chat.context_cutter import ContextCutter
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.drafts import Drafts
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.chat.formats import UnknownFormat
from baize_tui.chat.title_writer import TitleWriter
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.settings import SettingsError
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation

_SAVE_AT_EXIT_S = 2.0
"""How long the end of the program may be delayed to save the state of a conversation."""
_LIKELY_QUESTION = 1 / 16
"""How much of the context the next question may take, as far as one can know before it is typed.
If it is shorter, and turns were dropped for nothing, the whole conversation is restored."""


class IdleWork:
    """Titles the open conversation, reads it ahead, and saves its state.

    Where the next question will not fit, it reads what will be left of the conversation then.
    """

    def __init__(
        self,
        engine: Engine,
        lock: EngineLock,
        active_model: ActiveModel,
        options: EffectiveOptions,
        title_writer: TitleWriter,
        conversations: Conversations,
        drafts: Drafts,
        cutter: ContextCutter,
    ) -> None:
        self._cutter = cutter
        self._engine = engine
        self._lock = lock
        self._active_model = active_model
        self._options = options
        self._title_writer = title_writer
        self._conversations = conversations
        self._drafts = drafts
        self._title_tried: set[str] = set()
        """Ids of the conversations for which the model wrote a title, or none that can be used."""
        self.on_title: Callable[[], None] = lambda: None
        """Called when a conversation has got a title."""
        self.on_problem: Callable[[str], None] = lambda _problem: None
        """Receives one line when the state of a conversation cannot be saved."""

    def prepare(self, conversation: Conversation, history: History) -> None:
        """Read ``history`` of ``conversation`` ahead, which ends with a draft, then save.

        Without a draft, a conversation that is called after its question gets a title first. This
        replaces earlier idle work, and ends when somebody asks for the engine; what did not end is
        done the next time.
        """
        model = self._active_model.model
        if model is not None and model.recipe.server is not None:
            return  # a draft is for nobody else
        if not self._is_allowed() or not self._active_model.answers(conversation):
            return
        # What fails here fails again when a question is asked, which is when it is shown.
        with contextlib.suppress(CatalogError, NoModelLoaded, SettingsError, UnknownFormat):
            plan = self._options.plan(conversation, AnswerOptions(), history.messages[-1], None)
            is_typed = bool(history.messages[-1].text)
            work = self._read_ahead if is_typed else self._title_and_read_ahead
            self._lock.start_idle_work(partial(work, plan, history))

    async def _title_and_read_ahead(self, plan: AnswerPlan, history: History) -> None:
        # The title comes first: reading ahead then removes its tokens from the cache.
        with contextlib.suppress(StoreError):  # such as a lock that another program holds
            if await self._needs_title(plan.conversation, history.without_question()):
                await self._write_title(plan.conversation, history.without_question())
        await self._read_ahead(plan, history)

    async def _read_ahead(self, plan: AnswerPlan, history: History) -> None:
        is_typed, spare = bool(history.messages[-1].text), 0
        if not is_typed and self._active_model.snapshot_budget:
            spare = int(plan.n_ctx * _LIKELY_QUESTION)
        with contextlib.suppress(EngineFailure):
            shorter = None
            if await self._cutter.can_prepare(plan, history, spare):
                if not is_typed:
                    await self._save()  # all of it, in case the next question is short
                shorter = await self._cutter.prepare(plan, history, spare)
            if plan.overflow == "shift":
                shorter = None  # what is to be shifted has to be in the cache
            await self._engine.warm(plan.warm_request(shorter or history))
            if not is_typed:
                await self._save()

    # --- titles ---------------------------------------------------------------------------------

    async def _needs_title(self, conversation: Conversation, history: History) -> bool:
        """Whether the model should write a title of ``conversation`` after ``history``.

        Raises:
            StoreError: the conversation cannot be read.
        """
        last = history.messages[-1] if history.messages else None
        if last is None or last.state not in ("complete", "stopped") or not last.text.strip():
            return False
        if last.role != "assistant" or conversation.id in self._title_tried:
            return False
        loaded = self._active_model.require().loaded
        if not self._options.settings.idle.titles or not loaded.can_cut_cache:
            return False
        if self._conversations.why_read_only or await self._drafts.has_queued(conversation.id):
            return False
        stored = await self._conversations.get(conversation.id)
        return stored.title_source == "question"

    async def _write_title(self, conversation: Conversation, history: History) -> None:
        """Write and save a title; where the model fails, the old one stays for good."""
        title = ""
        with contextlib.suppress(CatalogError, EngineFailure, UnknownFormat):
            title = await self._title_writer.write(conversation, history)
        self._title_tried.add(conversation.id)
        if title and await self._conversations.set_automatic_title(conversation.id, title, "model"):
            self.on_title()

    # --- saving ---------------------------------------------------------------------------------

    async def _save(self) -> None:
        if problem := await self._engine.save_cache():
            self.on_problem(problem)

    async def save_before_exit(self) -> None:
        """Save the state of the conversation that was answered last, unless it takes long."""
        if self._active_model.running is None:
            return
        self._lock.stop_idle_work()
        with contextlib.suppress(EngineFailure, TimeoutError):
            await asyncio.wait_for(self._engine.save_cache(), _SAVE_AT_EXIT_S)

    def _is_allowed(self) -> bool:
        when = self._options.settings.idle.work
        return when == "always" or (when == "plugged-in" and not _on_battery())


def _on_battery() -> bool:
    """Whether this machine runs on its battery; False if it has none."""
    import psutil  # 5 ms, which a start should not wait for

    if not hasattr(psutil, "sensors_battery"):  # a platform without batteries
        return False
    battery = psutil.sensors_battery()
    return battery is not None and battery.power_plugged is False
