"""A line to type what to find in the open conversation, and then to walk through it."""

from __future__ import annotations

from textual import events, getters
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from baize_tui.app.widgets.fixed_text import FixedText
from baize_tui.app.widgets.text_fields import LineInput
from baize_tui.translation import msg, tr

LABEL = msg("Find")
TYPING, WALKING = msg("enter: done · esc: end"), msg("n N: next, previous · esc: end")
SHORT_WALKING = msg("n N · esc")
_WIDE = 70
"""Cells from which on all hints have room."""
_STEPS = {"down": 1, "up": -1}
_WALKING_STEPS = {"n": 1, "N": -1, "enter": 1, **_STEPS}


class FindBar(Horizontal):
    """Hidden until ``begin``. While the person types, every key is a part of the text, which
    ``Input.Changed`` from ``#find-text`` reports; after Enter, n and N go to the matches."""

    class Step(Message):
        """Go on by ``step`` matches."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    _input = getters.query_one(Input)
    _count = getters.query_one("#find-count", FixedText)

    def __init__(self) -> None:
        super().__init__(id="find")
        self._walking = False
        self._state = ""

    def compose(self) -> ComposeResult:
        yield FixedText(tr(LABEL), id="find-label", markup=False)
        yield _FindInput(self)
        yield FixedText("", id="find-count", markup=False)

    @property
    def is_open(self) -> bool:
        return bool(self.display)

    @property
    def is_walking(self) -> bool:
        """Whether keys go to matches, and are no part of the text."""
        return self._walking

    @property
    def state(self) -> str:
        """Which match of how many it is."""
        return self._state

    def begin(self, text: str | None = None) -> None:
        """Show the line: for typing, or with a ``text`` to walk through its matches."""
        self.display = True
        if text is not None:
            with self._input.prevent(Input.Changed):
                self._input.value = text
        self.walk(text is not None)
        self.screen.set_focus(self._input)  # ``focus`` would do it after the keys that wait
        if text is None:
            self._input.select_all()

    def walk(self, walking: bool) -> None:
        self._walking = walking
        self._show()

    def end(self) -> None:
        self.display = False

    def show_count(self, state: str) -> None:
        """Show which match of how many it is."""
        self._state = state
        self._show()

    def _show(self) -> None:
        hint = tr(WALKING) if self._walking else tr(TYPING)
        room = self.size.width or self.app.size.width
        if room < _WIDE:
            hint = tr(SHORT_WALKING) if self._walking else ""
        self._count.update(" · ".join(part for part in (self._state, hint) if part))

    def on_resize(self) -> None:
        self._show()


class _FindInput(LineInput):
    """The text to find."""

    def __init__(self, bar: FindBar) -> None:
        super().__init__(id="find-text", compact=True, select_on_focus=False)
        self._bar = bar

    async def _on_key(self, event: events.Key) -> None:
        walking = self._bar.is_walking
        key = event.character if event.is_printable else event.key
        step = (_WALKING_STEPS if walking else _STEPS).get(key or "")
        if step is not None:
            # From here, so that it does not overtake ``Input.Changed``.
            self.post_message(FindBar.Step(step))
        elif key == "enter":  # here, and not in a message: n may be the next key
            self._bar.walk(True)
        elif walking and key in ("/", "backspace"):
            self._bar.walk(False)
        elif not walking or not event.is_printable:
            return  # the input's own keys
        event.stop()
        event.prevent_default()
