"""Fields to write in that handle keys in the order in which they were pressed.

None takes a text in which each key would be slow.

Textual 8.2 runs a binding, such as that of backspace, only after its key has bubbled up. Letters
that were typed after it are inserted before that: the binding works on another text than the person
saw.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input, TextArea

from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

LONGEST_LINE = 10_000
LONGEST_TEXT = 50_000
"""Characters of a text of several lines."""
TOO_LONG = msg("Too long: this field takes at most {limit}.")


def editing_actions(kind: type[Widget]) -> dict[str, str]:
    """The keys of a widget's own bindings, with their actions."""
    return {
        key: binding.action
        for binding in kind.BINDINGS
        if isinstance(binding, Binding)
        for key in binding.key.split(",")
    }


class KeysInOrder:
    """Runs the widget's own bindings at once."""

    EDITING: ClassVar[dict[str, str]]
    app: App[object]

    async def _on_key(self, event: events.Key) -> None:
        # Textual calls the widget's own handler next, unless an action was run.
        action = self.EDITING.get(event.key)
        assert isinstance(self, Widget)
        if action is not None and await self.app.run_action(action, self):
            event.stop()
            event.prevent_default()


def _say_too_long(field: Widget, limit: int) -> None:
    field.notify(tr(TOO_LONG, limit=count_text(limit, "character")), severity="warning")


class LineInput(KeysInOrder, Input):
    """One line."""

    EDITING = editing_actions(Input)

    def __init__(self, value: str | None = None, **options: Any) -> None:
        super().__init__(value, max_length=LONGEST_LINE, **options)

    def restricted(self) -> None:
        _say_too_long(self, LONGEST_LINE)


class TextBox(KeysInOrder, TextArea):
    """Several lines."""

    EDITING = editing_actions(TextArea)

    async def _on_paste(self, event: events.Paste) -> None:
        # TextArea's own handler is called next and inserts it.
        if len(self.text) + len(event.text) > LONGEST_TEXT:
            event.prevent_default()
            self.notify(
                tr(TOO_LONG, limit=count_text(LONGEST_TEXT, "character")), severity="warning"
            )
