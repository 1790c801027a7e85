"""Keeping the list of conversations up to date, also with what other clients write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace
from textual.timer import Timer

from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.terminal_reports import update_window_title
from baize_tui.chat.conversations import FIRST_PAGE
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, ListedConversation
from baize_tui.translation import msg, tr

WATCH_EVERY_S = 1.0
AGES_CHANGE_S = 30.0
"""How often the ages in the list are brought up to date."""
READ_GROUP = "list"
"""The group of the worker that reads the list."""
PROBLEM = "list"
"""The id of the problem that the list cannot be read."""
SAVED_AGAIN, READ_AGAIN = msg("everything is saved again"), msg("the list is up to date again")


class ListUpdates:
    """Reads the list and shows it."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._version = 0
        """What the list shows; it is read again for many reasons."""
        self._watched_version = 0
        """What ``on_watch`` was last called for."""
        self._shown_at = 0.0
        self._timer: Timer | None = None
        self.on_watch: Callable[[bool], None] | None = None
        """Called again and again, with whether another client has written something."""

    def start(self) -> None:
        """Show the list on the first frame, and watch the store from then on."""
        chat = self._surface.chat
        listed = chat.conversations.list_now()
        self._version = self._watched_version = listed.version
        self._surface.conversation_list.show(listed.conversations, None, set(), listed.unsent)
        update_window_title(self._surface)
        self._timer = self._surface.screen.set_interval(WATCH_EVERY_S, self._watch_store)
        chat.drafts.on_change = self.refresh
        chat.listen_for_titles(self.refresh)

    def stop(self) -> None:
        self._surface.chat.drafts.on_change = None
        if self._timer is not None:
            self._timer.stop()

    def refresh(self) -> None:
        """Read the list again in the background: all of it while the person looks through it."""
        self._surface.run_worker(self._read, group=READ_GROUP, exclusive=True)

    async def _read(self) -> None:
        surface = self._surface
        try:
            first = None if surface.conversation_list.has_focus else FIRST_PAGE
            listed = await surface.chat.conversations.list_with_version(first=first)
            await self._update_title(listed.conversations)
        except StoreError as error:
            surface.begin_problem(PROBLEM, str(error))
            return
        surface.end_problem(PROBLEM, tr(READ_AGAIN))
        self._version = listed.version
        surface.heading.show(surface.view.conversation)
        open_id, busy = surface.view.open_id, surface.chat.busy
        surface.conversation_list.show(listed.conversations, open_id, busy, listed.unsent)
        self._shown_at = time.monotonic()
        update_window_title(surface)

    async def _update_title(self, conversations: Sequence[ListedConversation]) -> None:
        """Note the title of the open conversation, which its options show."""
        view, open_id = self._surface.view, self._surface.view.open_id
        if open_id is None:
            return
        stored: Conversation | ListedConversation | None
        stored = next((c for c in conversations if c.id == open_id), None)
        if stored is None:
            try:
                stored = await self._surface.chat.conversations.get(open_id)
            except StoreError:
                return  # such as one that another client has removed for good
        if view.conversation is not None and view.conversation.id == open_id:
            view.conversation = replace(
                view.conversation, title=stored.title, title_source=stored.title_source
            )

    async def _watch_store(self) -> None:
        """Look for changes of other clients, and save what could not be saved before."""
        chat = self._surface.chat
        if chat.unsaved and await chat.save_pending() == 0:
            self._surface.end_problem("answer", tr(SAVED_AGAIN))
        try:
            version = await chat.conversations.version()
        except StoreError:
            return  # such as a lock that another program holds; the next look may succeed
        if version != self._version or PROBLEM in self._surface.view.problems:
            self.refresh()
        elif time.monotonic() - self._shown_at > AGES_CHANGE_S:
            self._shown_at = time.monotonic()
            self._surface.conversation_list.fill()
        changed, self._watched_version = version != self._watched_version, version
        if self.on_watch is not None:
            self.on_watch(changed)
