"""Other programs that get the terminal for a while: the editor, the pager, the shell."""

from __future__ import annotations

from textual.app import SuspendNotSupported

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.message_commands import MessageCommands
from baize_tui.app.conversation.surface import Surface
from baize_tui.store.errors import StoreError
from baize_tui.translation import tr


class OtherPrograms:
    """Saves the draft, and lets another program have the terminal."""

    def __init__(self, surface: Surface, composer: Composer, messages: MessageCommands) -> None:
        self._surface = surface
        self._composer = composer
        self._messages = messages

    async def edit_draft(self) -> None:
        """Edit the draft in the person's own editor."""
        from baize_tui.app.services.external_editor import EditorFailed, edit_text, editor_command

        prompt, status = self._surface.prompt, self._surface.status
        await self._save_draft()
        try:
            with self._surface.screen.app.suspend():
                edited = edit_text(prompt.draft, self._surface.state.exit_watch)
        except (OSError, SuspendNotSupported) as error:
            status.show(
                tr("{program} cannot be started: {error}", program=editor_command(), error=error),
                "problem",
            )
            return
        except EditorFailed as error:
            status.show(str(error), "problem")
            return
        prompt.change_text(edited.text)
        if edited.problem:
            status.show(edited.problem, "problem")

    async def view_message(self) -> None:
        """Open the message in the person's pager."""
        await self._save_draft()
        self._messages.view()

    async def suspend(self) -> None:
        """Suspend the client to the shell."""
        await self._save_draft()
        self._surface.screen.app.action_suspend_process()

    async def _save_draft(self) -> None:
        """Save the draft before the terminal is given away, however that ends."""
        try:
            await self._composer.save()
        except StoreError as error:
            self._surface.status.show(str(error), "problem")
