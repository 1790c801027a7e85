"""Attaching files to a message: read them, count their tokens, cut them to what fits."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path

from msgspec import Struct

from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_plan import conversation_prompt, question_message
from baize_tui.chat.context import History
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.formats import UnknownFormat
from baize_tui.engine import protocol
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.shared_texts import NAMED
from baize_tui.store.records import Conversation, Paste
from baize_tui.translation import tr

_TEXT_ALONE = "{{ messages[0].content }}"
"""A template that adds nothing."""
_BYTES_A_TOKEN = 3.0
"""For an estimate that is seldom too low."""
_PART_FOR_FILES = 0.9
"""How much of the room in the context files may have; the rest is for what is typed later."""
_LARGEST_ROOM = 1_000_000
"""Tokens, where nobody knows the size of the context."""


class Attached(Struct, frozen=True):
    """Files as a part of a draft; ``notes`` are lines for the person."""

    paste: Paste
    notes: tuple[str, ...]


class LooksSecret(Exception):
    """A file looks like a secret; its message is one line."""


class Attaching:
    """Reads files for the drafts of conversations."""

    def __init__(
        self, engine: Engine, active_model: ActiveModel, options: EffectiveOptions, lock: EngineLock
    ) -> None:
        self._engine = engine
        self._active_model = active_model
        self._options = options
        self._lock = lock

    async def attach(
        self,
        path: str,
        folder: Path,
        conversation: Conversation,
        draft: str,
        *,
        allow_secret: bool = False,
    ) -> Attached:
        """The files that ``path`` stands for, seen from ``folder``, to be sent in ``conversation``
        together with ``draft``.

        Raises:
            AttachmentFailed: they cannot be attached.
            LooksSecret: one of them looks like a secret, and ``allow_secret`` is not given.
        """
        # Imported when used: few messages have files.
        from baize_tui.chat.attachments.blocks import fit_files, read_files

        read = await asyncio.to_thread(read_files, path, folder)
        if read.secret and not allow_secret:
            raise LooksSecret(read.secret)
        room = await self._room(conversation, draft)
        fitted = await fit_files(read, room, self.count)
        notes = tuple(tr(NAMED, name=read.name, why=note) for note in fitted.notes)
        note = "; ".join(fitted.notes)
        return Attached(Paste(fitted.text, read.name, fitted.tokens, note), notes)

    async def count(self, text: str) -> int:
        """The tokens of ``text`` alone; an estimate while no model can count them."""
        if self._active_model.loaded is not None and not self._lock.is_held:
            self._lock.stop_idle_work()
            message = protocol.PromptMessage("user", text)
            prompt = protocol.Prompt([message], template=_TEXT_ALONE)
            with contextlib.suppress(EngineFailure):
                return await self._engine.count(protocol.Count(request=0, prompt=prompt))
        return _estimate(text)

    async def _room(self, conversation: Conversation, draft: str) -> int:
        """The tokens that files may have beside ``draft`` and the system prompt; older turns can
        leave the context."""
        loaded = self._active_model.loaded
        n_ctx = loaded.n_ctx if loaded is not None else self._options.settings.model.context
        if not n_ctx:
            return _LARGEST_ROOM
        history = History([question_message(draft)])
        used = _estimate(conversation.system + draft)
        if loaded is not None and not self._lock.is_held:
            with contextlib.suppress(EngineFailure, UnknownFormat):
                format_name = self._options.prompt_format(conversation)
                prompt = conversation_prompt(conversation, format_name, history, loaded.tokenizer)
                used = await self._engine.count(protocol.Count(request=0, prompt=prompt))
        room = n_ctx - self._options.reserve(n_ctx) - used
        return math.floor(room * _PART_FOR_FILES)


def _estimate(text: str) -> int:
    return math.ceil(len(text.encode()) / _BYTES_A_TOKEN)
