"""Random input from a terminal: keys, pastes, clicks, drags, the wheel, and new sizes.

Input is written as text, so that a failure can be replayed: ``ctrl+p pageup click:3,4 paste:1``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from textual import events
from textual.app import App
from textual.geometry import Size
from textual.keys import _character_to_key
from textual.message import Message
from textual.pilot import Pilot

from baize_tui.app.actions import ACTIONS
from tests.conftest import PATIENCE_S

SIZES = ((31, 24), (80, 24), (200, 60))
TOO_SMALL = (20, 6)
PASTES = (
    "word",
    "",
    "two\nlines\n",
    "line of a log\n" * 25,
    "\x1b[31mred\x1b[0m\x07\r\n\x00end",
    "白泽\t🐉 ‮right to left" * 9,
    "/quit",
    "~/../..",
)
"""Texts to paste, which are written by their numbers."""
LETTERS = "abcdefgmqsyz 019/.-_~,'\"\\[]{}%$白泽한かéß🐉👩‍👩‍👧"
BUTTONS = {"click": 1, "middleclick": 2, "rightclick": 3}
UNBOUND = (
    *("f11", "f19", "insert", "ctrl+at", "ctrl+right_square_bracket", "shift+tab", "hyper+x"),
    *("ctrl+shift+f1", "alt+f", "super+c", "shift+f3", "ctrl+backslash", "f20"),
)
MOVING = ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab", "enter")
DELETING = ("backspace", "delete", "ctrl+w", "ctrl+u", "ctrl+k")
BOUND = tuple(key for action in ACTIONS for key in action.keys)
QUITTING = {key for action in ACTIONS if action.id == "quit" for key in action.keys}
"""Tried at the end of each run, and left out before that."""


class RandomInput:
    """Chooses input at random, more often what does something on the screen."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def burst(self, app: App[int]) -> list[str]:
        """What a person does in quick succession."""
        choices: dict[Callable[[App[int]], list[str]], int] = {
            self._bound: 30,
            self._letters: 22,
            self._moving: 18,
            self._unbound: 4,
            self._paste: 3,
            self._mouse: 15,
            self._escapes: 4,
            self._resize: 2,
            self._repeated: 4,
            self._focus: 1,
        }
        chosen = self.random.choices(list(choices), list(choices.values()))[0]
        return chosen(app)

    def _some(self, values: Sequence[str], most: int) -> list[str]:
        return self.random.choices(values, k=self.random.randint(1, most))

    def _bound(self, app: App[int]) -> list[str]:
        here = [key for _, map in app.screen._binding_chain for key in map.key_to_bindings]
        keys = self._some(sorted({*here, *BOUND} - QUITTING), 3)
        return keys if self.random.random() < 0.5 else [*keys, *self._moving(app)]

    def _letters(self, _: App[int]) -> list[str]:
        keys = [_character_to_key(letter) for letter in self._some(LETTERS, 8)]
        return [*keys, *self._some((*DELETING, "enter", "enter"), 2)][: self.random.randint(1, 9)]

    def _moving(self, _: App[int]) -> list[str]:
        return self._some((*MOVING, *(f"shift+{key}" for key in MOVING[:6])), 5)

    def _unbound(self, _: App[int]) -> list[str]:
        return self._some(UNBOUND, 3)

    def _repeated(self, app: App[int]) -> list[str]:
        return self._bound(app)[:1] * self.random.randint(2, 9)

    def _escapes(self, _: App[int]) -> list[str]:
        return ["escape"] * self.random.randint(1, 12)

    def _paste(self, _: App[int]) -> list[str]:
        return [f"paste:{self.random.randrange(len(PASTES))}"]

    def _resize(self, _: App[int]) -> list[str]:
        sizes = [self.random.choice((*SIZES, TOO_SMALL)) for _ in range(self.random.randint(1, 3))]
        return [f"resize:{width},{height}" for width, height in sizes]

    def _focus(self, _: App[int]) -> list[str]:
        return ["blur", "focus"]

    def _place(self, app: App[int]) -> str:
        # Also just outside: the terminal may have become smaller.
        width, height = app.size
        return f"{self.random.randrange(width + 2)},{self.random.randrange(height + 2)}"

    def _mouse(self, app: App[int]) -> list[str]:
        place = self._place(app)
        match self.random.choice(["click", "click", "double", "drag", "wheel", "move", "other"]):
            case "click":
                return [f"click:{place}"]
            case "double":
                return [f"click:{place}"] * self.random.randint(2, 4)
            case "drag":
                over = [f"move:{self._place(app)}" for _ in range(self.random.randint(1, 4))]
                return [
                    f"mousedown:{place}",
                    *over,
                    *[f"mouseup:{self._place(app)}"][: self._coin()],
                ]
            case "wheel":
                ways = ("wheelup", "wheeldown", "wheelleft", "wheelright")
                return [f"{self.random.choice(ways)}:{place}"] * self.random.randint(1, 6)
            case "other":
                return [f"{self.random.choice(['middleclick', 'rightclick'])}:{place}"]
            case _:
                return [f"move:{self._place(app)}" for _ in range(self.random.randint(1, 4))]

    def _coin(self) -> int:
        """0 or 1; 0 seldom, such as for a button that is released outside the window."""
        return int(self.random.random() < 0.8)


def count_keys(written: Sequence[str]) -> int:
    """How many of the inputs are keys."""
    return sum(":" not in one and one not in ("blur", "focus") for one in written)


def _mouse_event(kind: type[events.MouseEvent], place: str, button: int = 0) -> events.MouseEvent:
    x, y = map(int, place.split(","))
    return kind(None, x, y, 0, 0, button, False, False, False, x, y)


_MOUSE: dict[str, tuple[type[events.MouseEvent], int]] = {
    "mousedown": (events.MouseDown, 1),
    "mouseup": (events.MouseUp, 1),
    "move": (events.MouseMove, 0),
    "wheelup": (events.MouseScrollUp, 0),
    "wheeldown": (events.MouseScrollDown, 0),
    "wheelleft": (events.MouseScrollLeft, 0),
    "wheelright": (events.MouseScrollRight, 0),
}


def _events_of(written: str) -> list[Message]:
    """What Textual's driver makes of one input."""
    name, _, value = written.partition(":")
    if name in BUTTONS:
        kinds = (events.MouseMove, events.MouseDown, events.MouseUp)
        return [_mouse_event(kind, value, BUTTONS[name]) for kind in kinds]
    if name in _MOUSE:
        return [_mouse_event(_MOUSE[name][0], value, _MOUSE[name][1])]
    match name:
        case "paste":
            return [events.Paste(PASTES[int(value)])]
        case "resize":
            width, height = map(int, value.split(","))
            return [events.Resize(Size(width, height), Size(width, height))]
        case "blur":
            return [events.AppBlur()]
        case "focus":
            return [events.AppFocus()]
        case _:
            return [events.Key(written, character_of(written))]


def character_of(key: str) -> str | None:
    """The character that a terminal sends for a key."""
    named = {_character_to_key(letter): letter for letter in LETTERS}
    return {"enter": "\r", "tab": "\t", "escape": "\x1b"}.get(key, named.get(key))


async def send(pilot: Pilot[int], written: Sequence[str]) -> None:
    """Send input as the terminal's driver does, without waiting for what it does."""
    driver = pilot.app._driver
    assert driver is not None
    for one in written:
        for event in _events_of(one):
            if isinstance(event, events.Resize):
                driver._size = event.size  # where the headless driver reads it
            driver.process_message(event)
    await asyncio.sleep(0)


def is_running(pilot: Pilot[int]) -> bool:
    """Whether the client has neither ended nor failed."""
    return pilot.app._exception is None and not pilot.app._exit


async def settle(pilot: Pilot[int]) -> None:
    """Wait until all input is handled; fails if some widget no longer answers."""
    for _ in range(3):
        await asyncio.sleep(0)
        if is_running(pilot):
            await pilot._wait_for_screen(PATIENCE_S)
