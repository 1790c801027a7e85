"""The text area in which the person writes."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import TextArea

from baize_shared.sanitizer import clean_text
from baize_tui.app.widgets.pastes import Pastes, is_large

_EDITING: dict[str, str] = {
    key: binding.action
    for binding in TextArea.BINDINGS
    if isinstance(binding, Binding)
    for key in binding.key.split(",")
}
"""``TextArea``'s own keys for moving and deleting, with their actions."""

PLACEHOLDER = "Ask something…  (Enter sends, ^J new line)"


class Prompt(TextArea):
    """A text area in which Enter sends; Shift+Enter and Ctrl+J insert a new line."""

    class Submitted(Message):
        """The person sends ``text``."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class ScrollTranscript(Message):
        """The person pages through the conversation; ``direction`` is -1 or 1."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    class EditLast(Message):
        """The person pressed Up on an empty prompt."""

    class HistoryStep(Message):
        """The person walks through earlier messages; ``step`` 1 is back, -1 forward."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, commands: Sequence[str]) -> None:
        """``commands`` are completed by Tab; each begins with a slash."""
        super().__init__(
            id="prompt",
            placeholder=PLACEHOLDER,
            compact=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
        )
        self._commands = commands
        self._pastes = Pastes()

    @property
    def draft(self) -> str:
        """The text that Enter sends, with its pastes in full."""
        return clean_text(self._pastes.expand(self.text)).strip()

    async def _on_key(self, event: events.Key) -> None:
        # Not bindings: those run only after the event has bubbled up, so that letters typed after
        # a backspace would be inserted before it runs.
        match event.key:
            case "enter":
                if draft := self.draft:
                    self.post_message(self.Submitted(draft))
            case "shift+enter" | "ctrl+j":
                self.insert("\n")
            case "tab":
                if self.suggestion:
                    self.insert(self.suggestion)
            case "pageup":
                self.post_message(self.ScrollTranscript(-1))
            case "pagedown":
                self.post_message(self.ScrollTranscript(1))
            case "up" if not self.text:
                self.post_message(self.EditLast())
            case "ctrl+up":
                self.post_message(self.HistoryStep(1))
            case "ctrl+down":
                self.post_message(self.HistoryStep(-1))
            case "ctrl+underscore":
                self.undo()
            case "backspace" if mark := self._mark_at_cursor():
                row, column = self.cursor_location
                self.delete((row, column - len(mark)), (row, column))
            case key if key in _EDITING:
                await self.app.run_action(_EDITING[key], self)
            case _:
                return  # Textual calls TextArea's own handler next
        event.stop()
        event.prevent_default()

    def _mark_at_cursor(self) -> str | None:
        row, column = self.cursor_location
        if not self.selection.is_empty:
            return None
        return self._pastes.mark_before(self.document.get_line(row)[:column])

    def update_suggestion(self) -> None:
        """Suggest the rest of the command that the text is the beginning of."""
        text = self.text
        matching = [c for c in self._commands if c.startswith(text) and c != text]
        self.suggestion = matching[0][len(text) :] if text.startswith("/") and matching else ""

    def set_draft(self, text: str) -> None:
        """Replace the draft by ``text``, with the cursor at its end."""
        self._pastes.forget()
        self.text = self._pastes.collapse(text) if is_large(text) else text
        self.move_cursor(self.document.end)

    def clear_draft(self) -> None:
        """Delete the draft with its pastes."""
        self._pastes.forget()
        self.clear()

    async def _on_paste(self, event: events.Paste) -> None:
        text = clean_text(event.text)
        # TextArea's own handler is called next and inserts it.
        event.text = self._pastes.collapse(text) if is_large(text) else text
