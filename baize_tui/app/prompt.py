"""Where a person writes."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from baize_tui.sanitizer import clean_text


class Prompt(TextArea):
    """A text area that sends with Enter; Shift+Enter and Ctrl+J make a new line."""

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

    class HistoryWanted(Message):
        """The person walks through what they wrote before: 1 is further back, -1 forth."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self) -> None:
        super().__init__(
            id="prompt",
            placeholder="Ask something…  (Enter sends, ^J new line)",
            compact=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
        )

    async def _on_key(self, event: events.Key) -> None:
        # Here and not in bindings: a binding of the screen could overtake keys typed before it.
        match event.key:
            case "enter":
                text = clean_text(self.text).strip()
                if text:
                    self.post_message(self.Submitted(text))
            case "shift+enter" | "ctrl+j":
                self.insert("\n")
            case "pageup":
                self.post_message(self.ScrollTranscript(-1))
            case "pagedown":
                self.post_message(self.ScrollTranscript(1))
            case "up" if not self.text:
                self.post_message(self.EditLast())
            case "ctrl+up":
                self.post_message(self.HistoryWanted(1))
            case "ctrl+down":
                self.post_message(self.HistoryWanted(-1))
            case _:
                return  # Textual goes on to TextArea's own handler
        event.stop()
        event.prevent_default()

    def put(self, text: str) -> None:
        """Have ``text`` in the prompt, with the cursor at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = clean_text(event.text)  # TextArea's own handler comes next
