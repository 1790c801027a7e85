"""Keeping the list of conversations up to date, also with what other clients write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from textual.timer import Timer

from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.terminal_reports import update_window_title
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation

WATCH_EVERY_S = 1.0
READ_GROUP = "list"
"""The group of the worker that reads the list."""
PROBLEM = "list"
"""The id of the problem that the list cannot be read."""
SAVED_AGAIN, READ_AGAIN = "everything is saved again", "the list is up to date again"


class ListUpdates:
    """Reads the list and shows it."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._version = 0
        self._timer: Timer | None = None
        self.on_watch: Callable[[bool], None] | None = None
        """Called again and again, with whether another client has written something."""

    def start(self) -> None:
        """Show the list on the first frame, and watch the store from then on."""
        chat = self._surface.chat
        listed = chat.conversations.list_now()
        self._version = listed.version
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
        """Read the list again in the background."""
        self._surface.run_worker(self._read, group=READ_GROUP, exclusive=True)

    async def _read(self) -> None:
        surface = self._surface
        try:
            listed = await surface.chat.conversations.list_with_version()
        except StoreError as error:
            surface.begin_problem(PROBLEM, str(error))
            return
        surface.end_problem(PROBLEM, READ_AGAIN)
        self._version = listed.version
        self._update_title(listed.conversations)
        open_id, busy = surface.view.open_id, surface.chat.busy
        surface.conversation_list.show(listed.conversations, open_id, busy, listed.unsent)
        update_window_title(surface)

    def _update_title(self, conversations: Sequence[Conversation]) -> None:
        """Note the title of the open conversation, which its options show."""
        view = self._surface.view
        stored = next((c for c in conversations if c.id == view.open_id), None)
        if view.conversation is not None and stored is not None:
            view.conversation = replace(
                view.conversation, title=stored.title, title_source=stored.title_source
            )

    async def _watch_store(self) -> None:
        """Look for changes of other clients, and save what could not be saved before."""
        chat = self._surface.chat
        if chat.unsaved and await chat.save_pending() == 0:
            self._surface.end_problem("answer", SAVED_AGAIN)
        try:
            version = await chat.conversations.version()
        except StoreError:
            return  # such as a lock that another program holds; the next look may succeed
        changed = version != self._version
        if changed or PROBLEM in self._surface.view.problems:
            self.refresh()
        if self.on_watch is not None:
            self.on_watch(changed)
