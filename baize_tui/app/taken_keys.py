"""Keys that the programs around the client keep for themselves, in their default settings.

Every action that has such a key has another one beside it, which the same program lets through.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Taker(Struct, frozen=True):
    """A program that takes ``keys`` before the client gets them."""

    name: str
    keys: frozenset[str]
    source: str
    """Where that is documented."""
    variable: str = ""
    """The environment variable that tells that the client runs in it; empty if none does."""
    value: str = ""
    """What that variable is then; empty if it only has to be set."""
    platform: str = ""
    """The ``sys.platform`` that it is a part of; empty if it is not a part of the system."""

    def is_around(self, environment: Mapping[str, str], platform: str) -> bool:
        """Whether the client is known to run in it."""
        if self.platform:
            return self.platform == platform
        value = environment.get(self.variable, "")
        return bool(value) and self.value in ("", value)


IN_BROWSER = {"TERM_PROGRAM": "textual"}
"""What textual-serve sets for the client of a tab."""

TAKERS = (
    Taker("tmux", frozenset({"ctrl+b"}), "tmux(1): option prefix", "TMUX"),
    Taker("GNU Screen", frozenset({"ctrl+a"}), "screen(1): command character", "STY"),
    Taker(
        "macOS",
        frozenset({"ctrl+up", "ctrl+down", "ctrl+left", "ctrl+right", "f11"}),
        "Apple: Keyboard Shortcuts, Mission Control",
        platform="darwin",
    ),
    # It sends ESC b and ESC f, and Escape before the arrow.
    Taker(
        "Terminal of macOS",
        frozenset({"alt+left", "alt+right", "alt+up", "alt+down"}),
        "https://dotat.at/@/2020-12-12-terminal-app-xterm-compatibiity.html",
        "TERM_PROGRAM",
        "Apple_Terminal",
    ),
    # The arrows only where there is another pane in that direction (microsoft/terminal #10806).
    Taker(
        "Windows Terminal with several panes",
        frozenset({"alt+left", "alt+right", "alt+up", "alt+down", "alt+enter", "f11"}),
        "https://learn.microsoft.com/windows/terminal/customize-settings/actions",
    ),
    Taker(
        "GNOME Terminal",
        frozenset({"f1", "f10", "f11", "ctrl+pageup", "ctrl+pagedown"}),
        "GNOME Terminal: Keyboard shortcuts (bpython #522, htop #998)",
        "GNOME_TERMINAL_SCREEN",
    ),
    Taker("Xfce Terminal", frozenset({"f1", "f10", "f11"}), "Xfce Terminal: Shortcuts"),
    Taker(
        "VS Code",
        frozenset({"ctrl+e", "ctrl+f", "ctrl+p", "ctrl+q", "f1", "f5", "f6", "f11"}),
        "VS Code: terminal.integrated.commandsToSkipShell (vscode #34030, #108130)",
        "TERM_PROGRAM",
        "vscode",
    ),
    # And ctrl+t; no key is left for /moderation.
    Taker(
        "a browser (baize-tui web)",
        frozenset({"ctrl+n", "ctrl+w"}),
        "Chromium and Firefox: pages do not get these keys",
        *next(iter(IN_BROWSER.items())),
    ),
    Taker("docker run -it", frozenset({"ctrl+p"}), "docker run: --detach-keys, ctrl-p,ctrl-q"),
)


def taken_here(environment: Mapping[str, str], platform: str) -> frozenset[str]:
    """The keys that are known to be taken in this ``environment``, on this ``sys.platform``."""
    around = (taker.keys for taker in TAKERS if taker.is_around(environment, platform))
    return frozenset[str]().union(*around)
