"""The map of the branches: shows it, and then the branch that was chosen in it."""

from __future__ import annotations

from functools import partial

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.finding import Finding
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import DELETED, UndoStack
from baize_tui.store.records import BranchRow
from baize_tui.translation import msg, tr

NO_MESSAGES = msg("There are no messages yet.")


class BranchNavigation:
    """Goes to branches of the open conversation."""

    def __init__(
        self,
        surface: Surface,
        conversation_view: ConversationView,
        composer: Composer,
        finding: Finding,
        undo_stack: UndoStack,
    ) -> None:
        self._surface = surface
        self._conversation_view = conversation_view
        self._composer = composer
        self._finding = finding
        self._undo_stack = undo_stack

    async def show_map(self) -> None:
        from baize_tui.app.screens.branch_map import BranchMap

        surface = self._surface
        conversation = surface.view.conversation
        if conversation is None or not surface.transcript.turns:
            surface.screen.notify(tr(NO_MESSAGES))
            return
        map = BranchMap(surface.chat, conversation)
        chosen = await surface.screen.app.push_screen_wait(map)
        for deletion in map.deletions:
            self._undo_stack.push(partial(self._undelete, deletion.message_id, deletion.leaf_id))
        if surface.view.open_id != conversation.id:
            return
        if chosen is not None:
            await self._go_to(chosen)
        elif map.has_changed:
            self._composer.leave_edit()
            await self._conversation_view.reload()
        if map.deletions:
            surface.status.show(tr(DELETED, key=surface.state.keys["undo"]))

    async def _go_to(self, branch: BranchRow) -> None:
        messages = self._surface.chat.messages
        if not branch.shown:
            await messages.show_leaf(branch.leaf_id)
            self._composer.leave_edit()
        await self._finding.go_to_message(branch.start.id)

    async def _undelete(self, message_id: int, leaf_id: int | None) -> None:
        messages = self._surface.chat.messages
        await self._conversation_view.open(await messages.undelete(message_id, leaf_id=leaf_id))
