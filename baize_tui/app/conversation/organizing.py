"""Organizing conversations: pins, tags, the archive and the trash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import UndoStack
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.app.screens.shelves import Shelf

NOTHING_CHOSEN = msg("No conversation is open, and none is highlighted in the list.")
PINNED, UNPINNED = msg("pinned: it stays at the top of the list"), msg("no longer pinned")
ARCHIVED = msg("archived · {key} undoes it")
BACK_IN_LIST = msg("back in the list")
RESTORED = msg("restored")


class Organizing:
    """Works on the conversation that is highlighted in the list if that has the focus, else on the
    open one."""

    def __init__(
        self,
        surface: Surface,
        list_updates: ListUpdates,
        conversation_view: ConversationView,
        undo_stack: UndoStack,
    ) -> None:
        self._surface = surface
        self._list_updates = list_updates
        self._conversation_view = conversation_view
        self._undo_stack = undo_stack

    async def _chosen(self) -> Conversation | None:
        """The conversation to work on; says if there is none."""
        surface = self._surface
        options = surface.conversation_list
        id = options.highlighted_id if options.has_focus else surface.view.open_id
        if id is None:
            surface.screen.notify(tr(NOTHING_CHOSEN))
            return None
        return await surface.chat.conversations.get(id)

    async def pin(self) -> None:
        """Keep the conversation at the top of the list, or no longer."""
        if (chosen := await self._chosen()) is None:
            return
        await self._surface.chat.conversations.set_pinned(chosen.id, not chosen.pinned)
        self._list_updates.refresh()
        self._surface.status.show(tr(UNPINNED) if chosen.pinned else tr(PINNED))

    async def archive(self) -> None:
        """Take the conversation out of the list, or put it back."""
        if (chosen := await self._chosen()) is None:
            return
        await self._archive(chosen.id, not chosen.archived)
        if chosen.archived:
            self._surface.status.show(tr(BACK_IN_LIST))
            return

        async def undo() -> None:
            await self._archive(chosen.id, False)

        self._undo_stack.push(undo)
        key = self._surface.state.keys["undo"]
        self._surface.status.show(tr(ARCHIVED, key=key))

    async def _archive(self, conversation_id: str, archived: bool) -> None:
        await self._surface.chat.conversations.set_archived(conversation_id, archived)
        self._list_updates.refresh()

    async def edit_tags(self) -> None:
        """Ask which tags the conversation has."""
        from baize_tui.app.screens.tags import TagsScreen

        if (chosen := await self._chosen()) is None:
            return
        conversations = self._surface.chat.conversations

        async def change(add: Sequence[str], remove: Sequence[str]) -> list[str]:
            return await conversations.change_tags(chosen.id, add=add, remove=remove)

        screen = TagsScreen(chosen.title, chosen.tags, await conversations.tags(), change)
        await self._surface.screen.app.push_screen_wait(screen)
        self._list_updates.refresh()

    async def show_archived(self) -> None:
        """Show the archived conversations, and open the one that is chosen."""
        from baize_tui.app.screens.shelves import ArchivedScreen

        await self._show(ArchivedScreen(self._surface.chat.conversations))

    async def show_trash(self) -> None:
        """Show the deleted conversations, and open the one that is restored."""
        from baize_tui.app.screens.shelves import TrashScreen

        if await self._show(TrashScreen(self._surface.chat.conversations)):
            self._surface.status.show(tr(RESTORED))

    async def _show(self, shelf: Shelf) -> bool:
        """Show a shelf and open what is chosen; False if that is nothing."""
        surface = self._surface
        chosen = await surface.screen.app.push_screen_wait(shelf)
        self._list_updates.refresh()
        if chosen is None:
            return False
        await self._conversation_view.open(await surface.chat.conversations.get(chosen))
        surface.focus_prompt()
        return True
