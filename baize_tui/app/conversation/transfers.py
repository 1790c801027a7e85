"""Exporting conversations to files, and importing those of other programs."""

from __future__ import annotations

from collections.abc import Sequence

from baize_tui.app.conversation.conversation_commands import ConversationCommands
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.surface import Surface
from baize_tui.chat.export_files import Exported, ExportFailed, export_all, export_one
from baize_tui.measures import count_text
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

NOTHING_TO_EXPORT = msg("There is no conversation to export yet.")
EXPORTING = msg("exporting")


class Transfers:
    """Asks what, how and where to, and says what was done."""

    def __init__(
        self, surface: Surface, list_updates: ListUpdates, conversations: ConversationCommands
    ) -> None:
        self._surface = surface
        self._list_updates = list_updates
        self._commands = conversations

    async def export(self) -> None:
        """Write the open conversation, the one highlighted in the list, or all."""
        from baize_tui.app.screens.export_dialog import ExportDialog

        conversations = self._surface.chat.conversations
        everything = await conversations.list_all()
        if not everything:
            self._surface.screen.notify(tr(NOTHING_TO_EXPORT))
            return
        chosen = self._chosen(everything)
        request = await self._surface.screen.app.push_screen_wait(ExportDialog(chosen))
        if request is None:
            return
        self._surface.status.show(tr(EXPORTING), "busy")
        format, target, force = request.format, request.target, request.force
        try:
            if chosen is None or request.everything:
                written = await export_all(conversations, everything, format, target, force=force)
            else:
                written = await export_one(conversations, chosen, format, target, force=force)
        except ExportFailed as error:
            self._surface.status.show(str(error), "problem")
            return
        self._surface.status.show(_written_text(written))

    def _chosen(self, listed: Sequence[Conversation]) -> Conversation | None:
        """The conversation that is open, or highlighted in the list if that has the focus."""
        options = self._surface.conversation_list
        id = options.highlighted_id if options.has_focus else self._surface.view.open_id
        return next((conversation for conversation in listed if conversation.id == id), None)

    async def import_file(self) -> None:
        """Add the conversations of a file, and open it if it is one."""
        from baize_tui.app.screens.import_dialog import ImportDialog
        from baize_tui.chat.import_files import summary_lines

        surface = self._surface
        dialog = ImportDialog(surface.chat.conversations)
        summary = await surface.screen.app.push_screen_wait(dialog)
        self._list_updates.refresh()
        if summary is None:
            return
        if len(summary.imported) == 1:
            await self._commands.open(summary.imported[0].id)
        first, *more = summary_lines(summary)
        surface.status.show(first)
        if more:
            surface.screen.notify("\n".join(more), markup=False, timeout=20)


def _written_text(written: Exported) -> str:
    if len(written.files) == 1:
        return tr("exported to {file}", file=written.files[0])
    count = count_text(len(written.files), "file")
    return tr("exported to {count} in {folder}", count=count, folder=written.files[0].parent)
