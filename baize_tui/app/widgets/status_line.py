"""The line at the bottom: the client's state at the left, the most useful keys at the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text
from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message

from baize_tui.app.actions import Action, key_name
from baize_tui.app.widgets.fixed_text import FixedText
from baize_tui.chat.events import EngineUse
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

WIDE, NARROW = 90, 60
"""Columns from which there is room for all key hints, and for any."""

LOADING, READING, ANSWERING = msg("loading"), msg("reading the prompt"), msg("answering")
THINKING = msg("thinking")
LOADING_MODEL = msg("loading {model}")
"""Words for work in progress."""

_GAP = 2
"""Columns between the text and the keys; also in ``baize.tcss``."""
_TITLE = 40
"""Most cells of the title of another conversation."""
_PLACE = 32
"""Most cells of the name of another computer."""
_SHORT_NAME = 12
"""Cells of a model's name where there is little room."""

StatusKind = Literal["idle", "note", "busy", "problem"]
"""The state of the client, a short message, work in progress, or a problem. A note and a problem
stay until the person's next key or click."""


class ClientStatus(Struct, frozen=True):
    """What the line shows while nothing is in progress; empty texts are left out."""

    model: str = ""
    model_state: str = ""
    """Why another model may answer."""
    speed: str = ""
    threads: str = ""
    context: tuple[str, ...] = ()
    """The same in several lengths, the longest first."""
    has_draft: bool = False
    """Whether ``context`` is with a draft, which is more important than the speed."""
    moderation: str = ""
    pulls: str = ""

    def lengths(self) -> Iterator[str]:
        """The same in several lengths, the longest first; moderation is in all of them."""
        contexts = self.context or ("",)
        more = (self.moderation, self.pulls)
        model = f"{self.model} {self.model_state}".strip()
        yield _joined(model, self.speed, self.threads, contexts[0], *more)
        for context in contexts[: 1 if self.has_draft else None]:
            yield _joined(model, self.speed, context, *more)
        for context in contexts:
            yield _joined(model, context, *more)
        for name in (self.model, fitted(self.model, _SHORT_NAME)):
            yield _joined(name, contexts[-1], *more)
        yield _joined(contexts[-1], *more)
        yield _joined(contexts[-1], self.moderation)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def fitted(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


KeyContext = Literal["idle", "answering", "list", "message"]
"""What the keys are for: the list if it has the focus, else an answer, else a selected message."""


class KeyHint(Struct, frozen=True):
    """What a key does. With an ``action``, it is the key of that, and a click runs it."""

    word: str
    action: str = ""
    key: str = ""


_HINTS: dict[KeyContext, tuple[KeyHint, ...]] = {
    "idle": (
        KeyHint("new", "new"),
        KeyHint("list", "list"),
        KeyHint("help", "help"),
        KeyHint("quit", "quit"),
    ),
    "answering": (
        KeyHint("stop", "stop"),
        KeyHint("new", "new"),
        KeyHint("list", "list"),
        KeyHint("quit", "quit"),
    ),
    "list": (
        KeyHint("open", key="enter"),
        KeyHint("delete", key="delete"),
        KeyHint("help", "help"),
        KeyHint("back", "stop"),
    ),
    "message": (
        KeyHint("edit", "edit"),
        KeyHint("copy", "copy"),
        KeyHint("again", "again"),
        KeyHint("deselect", "stop"),
    ),
}
_FEW_HINTS: dict[KeyContext, tuple[int, int]] = {
    "idle": (2, 3),
    "answering": (0, 3),
    "list": (0, 3),
    "message": (0, 3),
}
"""The places of those that are shown if there is little room."""


def key_hints(actions: Sequence[Action], columns: int, context: KeyContext) -> list[KeyHint]:
    """The keys to show: at most four, two if there is little room."""
    if columns < NARROW:
        return []
    hints = _HINTS[context]
    if columns < WIDE:
        hints = tuple(hints[place] for place in _FEW_HINTS[context])
    keys = {action.id: action.key for action in actions}
    return [replace(hint, key=keys[hint.action]) if hint.action else hint for hint in hints]


def threads_text(threads: int, most: int) -> str:
    """The threads in use, of ``most``: "2 threads", or "1 of 2 threads"."""
    if not most:  # those of a server are its own
        return ""
    if threads < most:
        return tr("{threads} of {most}", threads=threads, most=count_text(most, "thread"))
    return count_text(threads, "thread")


def waiting_text(use: EngineUse) -> str:
    """What an answer waits for while the engine is used for something else."""
    title = fitted(use.title, _TITLE)
    match use.work:
        case "answer":
            return tr("waiting for the answer in “{title}”", title=title)
        case "title":
            return tr("waiting for the title of “{title}”", title=title)
        case "look":
            return tr("waiting for a look into “{title}”", title=title)
        case "load":
            return tr("waiting until {model} is loaded", model=title)


class StatusLine(Horizontal):
    """Its size is fixed, so that an update needs no new layout."""

    class CutOff(Message):
        """The terminal is too narrow for all of a note or a problem."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    ALLOW_SELECT = False
    _text_line = getters.query_one("#status-text", FixedText)
    _place_line = getters.query_one("#status-place", FixedText)
    _keys_line = getters.query_one("#status-keys", FixedText)

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(id="status")
        self._actions = actions
        self._lengths: tuple[str, ...] = ("",)
        self._text = ""
        self._kind: StatusKind = "idle"
        self._place = ""
        self._can_stop = False
        self._in_list = False
        self._message_selected = False

    def on_mount(self) -> None:
        self._place_line.display = False

    def compose(self) -> ComposeResult:
        for id in ("status-text", "status-place", "status-keys"):
            yield FixedText("", id=id, markup=False)

    @property
    def text(self) -> str:
        """What is shown, as far as it fits."""
        return self._text

    @property
    def kind(self) -> StatusKind:
        return self._kind

    @property
    def hints(self) -> str:
        """The keys shown at the right."""
        return self._hints().plain

    def show(self, text: str, kind: StatusKind = "note", *, short: str = "") -> None:
        """Show ``text``, or ``short`` where there is no room for it."""
        self._show((text, short) if short else (text,), kind)

    def show_client(self, status: ClientStatus) -> None:
        """Show the state of the client in the length for which there is room."""
        self._show(tuple(status.lengths()), "idle")

    def _show(self, lengths: tuple[str, ...], kind: StatusKind) -> None:
        if (lengths, kind) == (self._lengths, self._kind):
            return
        self._lengths, self._kind = lengths, kind
        line = self._text_line
        line.set_class(kind == "busy", "-busy")
        line.set_class(kind == "problem", "-problem")
        self._fit()

    def _fit(self) -> None:
        """Show the text in the length that fits beside the keys; a message that does not is shown
        in place of them."""
        room, keys = self.content_size.width, cell_len(self.hints)
        if self._place:
            room -= cell_len(self._place) + _GAP
        beside = room - (keys + _GAP if keys else 0)
        text = next((t for t in self._lengths if cell_len(t) <= beside), self._lengths[-1])
        is_message = self._kind in ("note", "problem")
        if is_message and room and cell_len(text) > room:
            self.post_message(self.CutOff(text))
        keys_shown = not is_message or cell_len(text) <= beside
        if keys_shown != self._keys_line.display:
            self._keys_line.display = keys_shown
        if text != self._text:
            self._text = text
            self._text_line.update(text, layout=False)

    @property
    def place(self) -> str:
        """The other computer to which the words go; empty for none."""
        return self._place

    def show_place(self, host: str) -> None:
        """Say always, beside whatever else is shown, that the words go to ``host``; empty for
        nowhere."""
        place = tr("at {host}", host=fitted(host, _PLACE)) if host else ""
        if place != self._place:
            self._place = place
            self._place_line.display = bool(place)
            self._place_line.update(place)
            self._fit()

    def show_stop(self, can_stop: bool) -> None:
        """Show the key that stops the answer, or hide it."""
        if can_stop != self._can_stop:
            self._can_stop = can_stop
            self._show_hints()

    def show_target(self, *, in_list: bool, message_selected: bool) -> None:
        """Show the keys of the list, or of the selected message."""
        if (in_list, message_selected) != (self._in_list, self._message_selected):
            self._in_list, self._message_selected = in_list, message_selected
            self._show_hints()

    @property
    def _key_context(self) -> KeyContext:
        if self._in_list:
            return "list"
        if self._can_stop:
            return "answering"
        return "message" if self._message_selected else "idle"

    def _hints(self) -> Text:
        hints = Text()
        for hint in key_hints(self._actions, self.size.width, self._key_context):
            hints.append("  " if hints else "")
            action = f"screen.run({hint.action!r})"
            click = Style(meta={"@click": action}) if hint.action else Style()
            hints.append(f"{key_name(hint.key)} {tr(hint.word)}", click)
        return hints

    def _show_hints(self) -> None:
        self._keys_line.update(self._hints())
        self._fit()

    def on_resize(self) -> None:
        self._show_hints()
