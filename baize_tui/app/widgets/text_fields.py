"""Fields to write in that handle keys in the order in which they were pressed.

Textual 8.2 runs a binding, such as that of backspace, only after its key has bubbled up. Letters
that were typed after it are inserted before that: the binding works on another text than the person
saw.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input, TextArea


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


class LineInput(KeysInOrder, Input):
    """One line."""

    EDITING = editing_actions(Input)


class TextBox(KeysInOrder, TextArea):
    """Several lines."""

    EDITING = editing_actions(TextArea)
