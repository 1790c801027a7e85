"""What the engine does while nobody waits for an answer, so that the next one begins at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_plan import conversation_prompt
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.drafts import Drafts
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.formats import UnknownFormat
from baize_tui.chat.title_writer import TitleWriter
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.engine.protocol import Warm
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, Message

_SAVE_AT_EXIT_S = 2.0
"""How long the end of the program may be delayed to save the state of a conversation."""


class IdleWork:
    """Titles the open conversation, reads it ahead, and saves its state."""

    def __init__(
        self,
        engine: Engine,
        lock: EngineLock,
        active_model: ActiveModel,
        options: EffectiveOptions,
        title_writer: TitleWriter,
        conversations: Conversations,
        drafts: Drafts,
    ) -> None:
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

    def prepare(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Read ``messages`` of ``conversation`` ahead, the last of which is a draft, then save.

        Without a draft, a conversation that is called after its question gets a title first. This
        replaces earlier idle work, and ends when somebody asks for the engine; what did not end is
        done the next time.
        """
        if not self._is_allowed() or not self._active_model.answers(conversation):
            return
        with contextlib.suppress(CatalogError, UnknownFormat):  # asking will say so
            request = self._warm_request(conversation, messages)
            if messages[-1].text:
                work = partial(self._warm, request)
            else:
                work = partial(self._title_warm_and_save, conversation, messages[:-1], request)
            self._lock.start_idle_work(work)

    async def _warm(self, request: Warm) -> None:
        # What fails here fails again when a question is asked, which is when it is shown.
        with contextlib.suppress(EngineFailure):
            await self._engine.warm(request)

    async def _title_warm_and_save(
        self, conversation: Conversation, history: Sequence[Message], request: Warm
    ) -> None:
        # The title comes first: reading ahead then removes its tokens from the cache.
        with contextlib.suppress(StoreError):  # such as a lock that another program holds
            if await self._needs_title(conversation, history):
                await self._write_title(conversation, history)
        with contextlib.suppress(EngineFailure):
            await self._engine.warm(request)
            await self._save()

    # --- titles ---------------------------------------------------------------------------------

    async def _needs_title(self, conversation: Conversation, history: Sequence[Message]) -> bool:
        """Whether the model should write a title of ``conversation`` after ``history``.

        Raises:
            StoreError: the conversation cannot be read.
        """
        last = history[-1] if history else None
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

    async def _write_title(self, conversation: Conversation, history: Sequence[Message]) -> None:
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

    def _warm_request(self, conversation: Conversation, messages: Sequence[Message]) -> Warm:
        prompt = conversation_prompt(
            conversation,
            self._options.prompt_format(conversation),
            messages,
            self._active_model.require().loaded.tokenizer,
            think=self._options.think(conversation),
        )
        return Warm(0, prompt, self._options.adapters(conversation), conversation.id)

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
