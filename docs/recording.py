"""Record a session of the real client with the real model as an animated picture::

    python docs/recording.py

The client runs in a pseudo-terminal of 80 by 24. Every change of the screen becomes a step of the
animation; pauses are cut to at most a second, so it says nothing about speed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from pathlib import Path

import pexpect
import pyte

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.terminal.pty_session import CTRL_Q, ENTER, has_answered

FILE = Path(__file__).resolve().parent / "recording.svg"
COLUMNS, LINES = 80, 24
CELL_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 19, 12
SHORTEST_STATE_S, LONGEST_PAUSE_S, LAST_PAUSE_S = 0.06, 1.0, 3.0
PATIENCE_S = 180.0
FOREGROUND, BACKGROUND = "d7dcd9", "121614"
SETTINGS = """
[sampling]
temperature = 0.0
[idle]
titles = false
"""
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" \
font-family="Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
<title>A session of baize-tui: a question, code, a search</title>
<style>
svg {{ fill: #{front} }} text {{ white-space: pre; dominant-baseline: central }}
.b {{ font-weight: bold }} .i {{ font-style: italic }} .u {{ text-decoration: underline }}
.s {{ visibility: hidden; animation: {total:.2f}s step-end infinite }}
@media (prefers-reduced-motion: reduce) {{ .s {{ animation: none !important }} \
.last {{ visibility: visible }} }}
"""

Cell = tuple[str, str, str, bool, bool, bool]
"""Character, colour, colour behind it; bold, italic, underlined."""
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Shown:
    """A row of the screen and when it is shown, in seconds."""

    line: int
    row: Row
    begin: float
    end: float


class Recorder:
    """The client in a terminal, and every state of its screen with the time until the next."""

    def __init__(self, home: str) -> None:
        self.states: list[tuple[float, list[Row]]] = []
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._client = pexpect.spawn(
            sys.executable,
            ["-m", "baize_tui"],
            dimensions=(LINES, COLUMNS),
            env={**os.environ, "BAIZE_HOME": home, "TERM": "xterm-256color"}
            | {"COLORTERM": "truecolor", "LANGUAGE": "en"},
        )

    def read(self) -> str:
        """Read what was written, keep the screen if it changed, and return it as text."""
        try:
            while True:
                self._stream.feed(self._client.read_nonblocking(1 << 16, timeout=0.05))
        except (pexpect.TIMEOUT, pexpect.EOF):
            rows = [self._row(line) for line in range(LINES)]
            if not self.states or rows != self.states[-1][1]:
                self.states.append((time.monotonic(), rows))
        return "\n".join(line.rstrip() for line in self._screen.display)

    def _row(self, line: int) -> Row:
        cells = (self._screen.buffer[line][column] for column in range(COLUMNS))
        return tuple(_cell(cell) for cell in cells)

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition(self.read()):
            assert time.monotonic() < end, "the client did not get that far:\n" + self.read()

    def type(self, text: str) -> None:
        """Type ``text`` key by key."""
        for key in text:
            self._client.send(key)
            self.read()

    def press(self, key: str) -> None:
        self._client.send(key)
        self.read()

    def quit(self) -> None:
        self._client.send(CTRL_Q)
        self._client.expect(pexpect.EOF, timeout=PATIENCE_S)


def _cell(cell: pyte.screens.Char) -> Cell:
    front, behind = (
        default if colour == "default" else colour
        for colour, default in ((cell.fg, FOREGROUND), (cell.bg, BACKGROUND))
    )
    if cell.reverse:
        front, behind = behind, front
    return (cell.data, front, behind, cell.bold, cell.italics, cell.underscore)


def play(client: Recorder) -> None:
    """What the person does."""
    client.wait_for(lambda screen: "moderated" in screen and "loading" not in screen)
    client.states = client.states[-1:]
    client.type("What is the capital of France?")
    client.press(ENTER)
    client.wait_for(lambda screen: "Paris." in screen and has_answered(screen))
    client.type("Write a Python function that adds two numbers, with an example.")
    client.press(ENTER)
    client.wait_for(lambda screen: "example." in screen and not has_answered(screen))
    client.wait_for(has_answered)
    client.press("\x13")  # Ctrl+S, search
    client.wait_for(lambda screen: "Search" in screen)
    client.type("france")
    client.wait_for(lambda screen: "capital of France" in screen)
    client.press(ENTER)
    client.wait_for(lambda screen: "Search" not in screen)


def shortened(states: list[tuple[float, list[Row]]]) -> Iterator[tuple[float, list[Row]]]:
    """The states with their times; long pauses are cut, and short states left out."""
    now = 0.0
    for (at, rows), (until, _) in pairwise([*states, (states[-1][0] + LONGEST_PAUSE_S, [])]):
        length = min(until - at, LONGEST_PAUSE_S)
        if length >= SHORTEST_STATE_S:
            yield now, rows
            now += length


def shown_rows(states: list[tuple[float, list[Row]]], total: float) -> Iterator[Shown]:
    """Each row for as long as it stays the same."""
    for line in range(LINES):
        for row, group in groupby(states, key=lambda state: state[1][line]):
            begin = next(iter(group))[0]
            later = (at for at, rows in states if at > begin and rows[line] != row)
            if any(cell[0].strip() or cell[2] != BACKGROUND for cell in row):
                yield Shown(line, row, begin, next(later, total))


def draw_row(shown: Shown) -> str:
    """The row as SVG: a rectangle for each colour behind it, a text for each style."""
    top = MARGIN + shown.line * LINE_HEIGHT
    drawn = ""
    for column, cells in _runs(shown.row, lambda cell: cell[2]):
        if cells[0][2] != BACKGROUND:
            place = f'x="{_x(column)}" y="{top}" width="{_x(len(cells), 0)}"'
            drawn += f'<rect {place} height="{LINE_HEIGHT}" fill="#{cells[0][2]}"/>'
    for column, cells in _runs(_plain_blanks(shown.row), lambda cell: (cell[1], *cell[3:])):
        whole = "".join(cell[0] for cell in cells)
        text = whole.strip()
        if not text:
            continue
        _, front, _, *marks = cells[0]
        names = " ".join(name for name, on in zip("biu", marks, strict=True) if on)
        kind = f' class="{names}"' if names else ""
        kind += f' fill="#{front}"' if front != FOREGROUND else ""
        x = _x(column + len(whole) - len(whole.lstrip()))
        place = f'x="{x}" y="{top + LINE_HEIGHT / 2:g}" textLength="{_x(len(text), 0)}"'
        drawn += f"<text {place}{kind}>{escape(text, quote=False)}</text>"
    return drawn


def _runs(row: Row, look: Callable[[Cell], object]) -> Iterator[tuple[int, list[Cell]]]:
    """Neighbouring cells of one look, with the column of the first."""
    column = 0
    for _, group in groupby(row, key=look):
        cells = list(group)
        yield column, cells
        column += len(cells)


def _plain_blanks(row: Row) -> Row:
    """The row, with blanks in the style of what is before them: nobody sees it."""
    cells: list[Cell] = []
    for cell in row:
        if cell[0].isspace() and cells and not cell[5]:
            cell = (cell[0], cells[-1][1], cell[2], *cells[-1][3:])
        cells.append(cell)
    return tuple(cells)


def _x(columns: int, start: float = MARGIN) -> str:
    return f"{start + columns * CELL_WIDTH:.5g}"


def draw(states: list[tuple[float, list[Row]]]) -> str:
    """The animated picture."""
    timed = list(shortened(states))
    total = timed[-1][0] + LAST_PAUSE_S
    width, height = COLUMNS * CELL_WIDTH + 2 * MARGIN, LINES * LINE_HEIGHT + 2 * MARGIN
    rules, body = "", ""
    for number, shown in enumerate(shown_rows(timed, total)):
        begin, end = (f"{100 * at / total:.2f}%" for at in (shown.begin, shown.end))
        hidden, visible = "{visibility:hidden}", "{visibility:visible}"
        until = f"{end}{hidden}" if shown.end < total else ""
        before = f"0%{hidden}" if shown.begin else ""
        rules += f"@keyframes k{number}{{{before}{begin}{visible}{until}}}\n"
        last = " last" if shown.end >= total else ""
        body += f'<g class="s{last}" style="animation-name:k{number}">{draw_row(shown)}</g>\n'
    head = _HEAD.format(width=width, height=height, total=total, front=FOREGROUND)
    paper = f'<rect width="100%" height="100%" rx="6" fill="#{BACKGROUND}"/>'
    return f"{head}{rules}</style>\n{paper}\n{body}</svg>\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home) / "config" / "config.toml"
        settings.parent.mkdir()
        settings.write_text(SETTINGS)
        client = Recorder(home)
        play(client)
        client.quit()
    FILE.write_text(draw(client.states), encoding="utf-8")
    print(FILE)


if __name__ == "__main__":
    main()
