"""Keys act in the order in which they were pressed, each on what the one before has led to.

Textual 8.2 runs an action as soon as its key arrives, while letters and Enter still wait in the
queue of a widget, and gives keys to whatever has the focus, while the screen that they are meant
for is about to open. After "hi", Enter and Ctrl+N in quick succession, such as of a key macro or on
a slow disk, "hi" would be sent in the new conversation, and a new title would be sent to the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from textual import events
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from textual.app import App

PATIENCE_S = 1.0
"""How long a key waits for those before: a store that is locked must not take the keyboard away."""


class KeyOrder:
    """Lets a key wait until what was pressed before it is handled."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._may_lead_on = False
        """Whether the last key may have done more than to write a letter."""

    async def wait(self, event: events.Key | events.Paste) -> None:
        """Wait until ``event`` can be handled."""
        is_letter = isinstance(event, events.Paste) or (
            event.is_printable and not self._runs_action(event.key)
        )
        # A letter after another goes to the same widget, which handles them in order.
        if self._may_lead_on or not is_letter:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settle(), PATIENCE_S)
        self._may_lead_on = not is_letter

    def _runs_action(self, key: str) -> bool:
        """Whether the key runs an action before a widget sees it."""
        chain = self._app.screen._binding_chain
        found = (
            binding for _, bindings in chain for binding in bindings.key_to_bindings.get(key, ())
        )
        return any(binding.priority for binding in found)

    async def _settle(self) -> None:
        """Wait until widgets and screens have handled what they were told, also those that this
        opens."""
        await asyncio.sleep(0)  # a worker that was just started opens its dialog
        before = None
        while before != (now := (self._app.screen, self._app.focused)):
            before, (screen, focused) = now, now
            if focused is not None:
                await _handle_all(focused)
                # What it posted goes through its own queue, and then up.
                for node in focused.ancestors_with_self:
                    if node is not self._app:
                        await _handle_all(node)
            await _handle_all(screen)


async def _handle_all(pump: MessagePump) -> None:
    """Wait until ``pump`` has handled what is in its queue, or has ended."""
    handled = asyncio.Event()
    if pump._task is None or not pump.call_later(handled.set):
        return
    waiting = asyncio.ensure_future(handled.wait())
    try:
        await asyncio.wait({waiting, pump._task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
