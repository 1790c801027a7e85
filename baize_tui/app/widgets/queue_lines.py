"""The lines above the prompt that show which messages wait for the end of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message

from baize_tui.app.widgets.fixed_text import FixedText
from baize_tui.app.widgets.status_line import fitted
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

MOST = 3
"""Messages that are shown; of more, the count is."""


QUEUED, WAITING, ENTER_SENDS = msg("queued"), msg("waiting"), msg("waiting · enter sends")
QUEUED_FOR, ENTER_SENDS_TO = msg("queued for {model}"), msg("waiting · enter sends to {model}")
"""States of the queue: each message is sent after an answer, or the person sends the first."""


def queue_text(texts: Sequence[str], width: int, *, state: str, edit: str, remove: str) -> str:
    """The lines for queued messages ``texts``, of at most ``width`` cells.

    ``edit`` and ``remove`` are the names of the keys for that.
    """
    lines = [_first_line(text, width) for text in texts[:MOST]]
    if len(texts) > MOST:
        lines.append(tr("… {count} more", count=len(texts) - MOST))
    keys = tr("{edit} edits · {remove} removes", edit=edit, remove=remove)
    lengths = (f"{state} · {keys}", f"{state.partition(' ')[0]} · {keys}", keys)
    last = next((text for text in lengths if cell_len(text) <= width), fitted(keys, width))
    return "\n".join([*lines, last])


def _first_line(text: str, width: int) -> str:
    """One line for a message, with its last line, where the question below a paste is."""
    lines = text.split("\n")
    more = f" (+{count_text(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
    shown = fitted(lines[-1].replace("\t", " "), width - 2 - cell_len(more))
    return fitted(f"↳ {shown}{more}", width)


class QueueLines(FixedText):
    """Hidden while nothing is queued."""

    class Clicked(Message):
        """The person clicked on the queue."""

    def __init__(self, edit: str, remove: str) -> None:
        """``edit`` and ``remove`` are the names of the keys for that."""
        super().__init__("", id="queue", markup=False)
        self._keys = (edit, remove)
        self._texts: Sequence[str] = ()
        self._state = tr(QUEUED)
        self.display = False

    def show(self, texts: Sequence[str], state: str) -> None:
        """Show ``texts``, the first to be sent first, and the state of the queue."""
        if (texts, state) == (self._texts, self._state):
            return
        self._texts, self._state = texts, state
        if self.display != bool(texts):
            self.display = bool(texts)
        self._draw()

    def _draw(self) -> None:
        if self._texts:
            edit, remove = self._keys
            width = self.content_size.width or self.app.size.width
            text = queue_text(self._texts, width, state=self._state, edit=edit, remove=remove)
            self.update(text)

    def on_resize(self) -> None:
        self._draw()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Clicked())
