"""What the terminal is told: the title of its window, and that an answer has ended unseen.

The title is saved on the terminal's stack before it is changed (XTWINOPS 22), and taken back at the
end. A notification is OSC 9 (iTerm2, kitty, WezTerm, Ghostty) or OSC 777 (VTE, foot); elsewhere,
and in tmux and GNU Screen, which drop both, the bell rings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from textual.app import App

from baize_shared.sanitizer import clean_line
from baize_tui.app.terminal_driver import ClientDriver
from baize_tui.settings import Notify

NAME = "Baize"
BELL = "\x07"
_ST = "\x1b\\"
_LONGEST = 100
_OSC9_PROGRAMS = ("iTerm.app", "WezTerm", "ghostty")
_MULTIPLEXERS = ("TMUX", "STY")

NoticeKind = Literal["osc9", "osc777", "bell", "off"]


def notice_kind(wanted: Notify, environment: Mapping[str, str]) -> NoticeKind:
    """How a terminal with this ``environment`` is told, as the person ``wanted`` it."""
    if wanted != "auto":
        return wanted
    if any(environment.get(name) for name in _MULTIPLEXERS):
        return "bell"
    if environment.get("TERM_PROGRAM") in _OSC9_PROGRAMS or environment.get("KITTY_WINDOW_ID"):
        return "osc9"
    if environment.get("VTE_VERSION") or environment.get("TERM", "").startswith("foot"):
        return "osc777"
    return "bell"


def notice_sequence(kind: NoticeKind, title: str) -> str:
    """What tells the terminal that an answer in the conversation ``title`` has ended."""
    text = clean_line(title, _LONGEST)
    match kind:
        case "osc9":
            return f"\x1b]9;{NAME}: {text}{_ST}"
        case "osc777":
            return f"\x1b]777;notify;{NAME};{text.replace(';', ',')}{_ST}"
        case "bell":
            return BELL
        case "off":
            return ""


def window_title(conversation_title: str) -> str:
    """The title of the window while a conversation is open; empty for a new one."""
    title = clean_line(conversation_title, _LONGEST)
    return f"{title} · {NAME}" if title else NAME


def show_window_title(app: App[Any], title: str | None) -> None:
    """Set the title of the window; None gives back the one from before."""
    if isinstance(app._driver, ClientDriver):
        app._driver.set_title(title)


def send_notice(app: App[Any], kind: NoticeKind, title: str) -> None:
    """Tell the terminal that an answer in the conversation ``title`` has ended."""
    if app._driver is not None and (sequence := notice_sequence(kind, title)):
        app._driver.write(sequence)
