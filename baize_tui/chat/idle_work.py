"""What the engine does while nobody waits for an answer, so that the next one begins at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_plan import conversation_prompt
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.formats import UnknownFormat
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.engine.protocol import Warm
from baize_tui.store.records import Conversation, Message

_SAVE_AT_EXIT_S = 2.0
"""How long the end of the program may be delayed to save the state of a conversation."""


class IdleWork:
    """Reads the open conversation ahead, and saves its state."""

    def __init__(
        self,
        engine: Engine,
        lock: EngineLock,
        active_model: ActiveModel,
        options: EffectiveOptions,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._active_model = active_model
        self._options = options
        self.on_problem: Callable[[str], None] = lambda _problem: None
        """Receives one line when the state of a conversation cannot be saved."""

    def prepare(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Read ``messages`` of ``conversation`` ahead, the last of which is a draft, then save.

        This replaces earlier idle work, and ends when somebody asks for the engine.
        """
        if not self._is_allowed() or not self._active_model.answers(conversation):
            return
        with contextlib.suppress(CatalogError, UnknownFormat):  # asking will say so
            request = self._warm_request(conversation, messages)
            typed = bool(messages[-1].text)
            self._lock.start_idle_work(partial(self._warm_and_save, request, save=not typed))

    async def _warm_and_save(self, request: Warm, *, save: bool) -> None:
        # What fails here fails again when a question is asked, which is when it is shown.
        with contextlib.suppress(EngineFailure):
            await self._engine.warm(request)
            if save:
                await self._save()

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
