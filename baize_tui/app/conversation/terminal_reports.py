"""What the terminal is told about conversations: a title, and answers that ended unseen."""

from __future__ import annotations

import os

from baize_tui.app.conversation.surface import Surface
from baize_tui.app.services.terminal_notices import (
    notice_kind,
    send_notice,
    show_window_title,
    window_title,
)


def update_window_title(surface: Surface) -> None:
    """Show the title of the open conversation in that of the window, unless the person does not
    want that."""
    conversation = surface.view.conversation
    title = window_title(conversation.title if conversation is not None else "")
    wanted = surface.state.settings.terminal.title
    show_window_title(surface.screen.app, title if wanted else None)


async def report_end_unseen(surface: Surface, conversation_id: str, seconds: float) -> None:
    """Notify the person of an answer that took ``seconds``, if they are elsewhere and it was long.

    Raises:
        StoreError: the title of the conversation cannot be read.
    """
    app, settings = surface.screen.app, surface.state.settings.terminal
    if app.app_focus or seconds < settings.notify_after_s:
        return
    kind = notice_kind(settings.notify, os.environ)
    if kind != "off":
        conversation = await surface.chat.conversations.get(conversation_id)
        send_notice(app, kind, conversation.title)
