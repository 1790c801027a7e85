"""Working on conversations: options, moderation, titles, deleting."""

from __future__ import annotations

import msgspec

from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import DELETED, UndoStack
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.chat.formats import UnknownFormat
from baize_tui.engine.client import EngineFailure
from baize_tui.store.errors import StoreError
from baize_tui.store.records import TitleSource
from baize_tui.translation import msg, tr

TITLE_QUESTION = msg("Title of this conversation")
TITLED = msg("titled: {title} · {key} undoes it")
DELETE_AGAIN = msg("press delete again to delete {title}")
CHOOSING_TITLE = msg("choosing a title")
NO_TITLE = msg("the model found no title; {key} lets you write one")


class ConversationCommands:
    """Commands on the open conversation, or on one of the list."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        list_updates: ListUpdates,
        conversation_view: ConversationView,
        undo_stack: UndoStack,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._idle_status = idle_status
        self._list_updates = list_updates
        self._conversation_view = conversation_view
        self._undo_stack = undo_stack

    @property
    def _undo_key(self) -> str:
        return self._surface.state.keys["undo"]

    async def open(self, conversation_id: str) -> None:
        conversation = await self._surface.chat.conversations.get(conversation_id)
        await self._conversation_view.open(conversation)
        self._surface.focus_prompt()

    async def show_options(self) -> None:
        from baize_tui.app.screens.conversation_options import ConversationOptions

        view = self._conversation_view
        options = ConversationOptions(self._surface.state, view.present(), view.change_options)
        self._surface.screen.app.push_screen(options)

    async def switch_moderation(self) -> None:
        conversation = self._conversation_view.present()
        moderation = not conversation.moderation
        changed = msgspec.structs.replace(conversation, moderation=moderation)
        await self._conversation_view.change_options(changed)

    # --- titles ---------------------------------------------------------------------------------

    async def rename(self) -> None:
        """Ask for a title of the open conversation, or of the one highlighted in the list."""
        from baize_tui.app.screens.dialogs import LineDialog

        listed = self._surface.conversation_list
        conversation_id = listed.highlighted_id if listed.has_focus else self._view.open_id
        if conversation_id is None:
            return
        is_open = conversation_id == self._view.open_id
        known = self._view.conversation if is_open else listed.listed(conversation_id)
        dialog = LineDialog(tr(TITLE_QUESTION), known.title if known is not None else "")
        title = await self._surface.screen.app.push_screen_wait(dialog)
        if title:
            await self._set_title(conversation_id, title, "person")

    async def suggest_title(self, conversation_id: str) -> None:
        """Have the model choose a title."""
        status = self._surface.status
        status.show(tr(CHOOSING_TITLE), "busy")
        try:
            title = await self._surface.chat.suggest_title(conversation_id)
            if not title:
                key = self._surface.state.keys["rename"]
                status.show(tr(NO_TITLE, key=key), "problem")
                return
            await self._set_title(conversation_id, title, "model")
        except (CatalogError, EngineFailure, NoModelLoaded, StoreError, UnknownFormat) as error:
            status.show(str(error), "problem")
        else:
            status.show(tr(TITLED, title=title, key=self._undo_key))

    async def _set_title(self, conversation_id: str, title: str, source: TitleSource) -> None:
        conversations = self._surface.chat.conversations
        before = await conversations.rename(conversation_id, title, source)
        self._list_updates.refresh()

        async def undo() -> None:
            # From now on it is the person's: they prefer it to the other one.
            await conversations.rename(
                conversation_id, "" if before.title_source == "none" else before.title
            )
            self._list_updates.refresh()

        self._undo_stack.push(undo)

    # --- deleting -------------------------------------------------------------------------------

    def confirm_delete(self, title: str) -> None:
        self._surface.status.show(tr(DELETE_AGAIN, title=title), "problem")

    async def delete(self, conversation_id: str) -> None:
        surface = self._surface
        conversations = surface.chat.conversations
        surface.chat.stop(conversation_id)
        await conversations.delete(conversation_id)
        if conversation_id == self._view.open_id:
            self._conversation_view.open_new()
            surface.screen.set_focus(surface.conversation_list)

        async def undo() -> None:
            await self._conversation_view.open(await conversations.undelete(conversation_id))

        self._undo_stack.push(undo)
        self._list_updates.refresh()
        self._idle_status.show_current()
        surface.status.show(tr(DELETED, key=self._undo_key))
