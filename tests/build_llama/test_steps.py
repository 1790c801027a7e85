"""Progress, read from lines that pip, ninja and make really printed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from build_llama.display import Display
from build_llama.steps import Step, read_step

OUTPUT = Path(__file__).parent / "output"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_of_100_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def lines_of(name: str) -> list[str]:
    return (OUTPUT / name).read_text().splitlines(keepends=True)


def read_all(name: str, out: io.StringIO) -> str:
    display = Display(out)
    for line in lines_of(name):
        display.read(line)
    return out.getvalue()


def test_steps_of_ninja_are_n_of_m() -> None:
    steps = [step for line in lines_of("ninja.txt") if (step := read_step(line))]
    assert steps[0] == Step(1, 83)
    assert str(steps[0]) == "1 of 83"
    assert steps[-1] == Step(83, 83)
    assert steps[-1].fraction == 1.0


def test_steps_of_make_are_percent() -> None:
    steps = [step for line in lines_of("make.txt") if (step := read_step(line))]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert str(steps[0]) == f"{steps[0].done} %"
    assert str(steps[-1]) == "100 %"


@pytest.mark.parametrize(
    "line",
    [
        "  [0/1] Re-running CMake...",
        "  -- [3/7] is no step",
        "  note: see [12%] of it",
        "  /usr/bin/g++ -DX=[1/2] -o a.o",
    ],
)
def test_other_lines_are_no_steps(line: str) -> None:
    assert read_step(line) is None


def test_a_terminal_has_one_line_that_changes() -> None:
    shown = read_all("ninja.txt", Terminal())
    assert "\n" not in shown
    phases = [frame for frame in shown.split("\r\x1b[K") if frame]
    assert phases[:4] == [
        "Downloading llama.cpp …",
        "Preparing to compile llama.cpp …",
        "Configuring llama.cpp …",
        "Compiling llama.cpp …",
    ]
    assert phases[4].split("  ") == ["Compiling llama.cpp", "╌" * 12, "1 of 83"]
    assert phases[-2].startswith("Compiling llama.cpp  ━━━━━━━━━━━━  83 of 83")
    assert phases[-1] == "Installing llama.cpp …"


def test_a_narrow_terminal_is_not_filled_beyond_its_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    frames = read_all("ninja.txt", Terminal()).split("\r\x1b[K")
    assert max(map(len, frames)) == 29


@pytest.mark.parametrize("name", ["ninja.txt", "make.txt"])
def test_elsewhere_there_are_plain_lines(name: str) -> None:
    shown = read_all(name, io.StringIO())
    assert "\r" not in shown
    assert "\x1b" not in shown
    assert shown.splitlines() == [
        "Downloading llama.cpp …",
        "Preparing to compile llama.cpp …",
        "Configuring llama.cpp …",
        "Compiling llama.cpp …",
        "Installing llama.cpp …",
    ]


def test_the_time_left_is_shown_and_goes_on_while_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    for module in ("baize_shared.progress", "build_llama.display"):
        monkeypatch.setattr(f"{module}.monotonic", lambda: now)
    out = io.StringIO()
    display = Display(out)
    for line in ("  *** Building project with Ninja...\n", "  [20/80] g++\n"):
        display.read(line)
    now += 20
    display.read("  [40/80] g++\n")
    now += 20
    display.refresh()
    assert out.getvalue().splitlines() == [
        "Compiling llama.cpp …",
        "Compiling llama.cpp  40 of 80  40 s left",
        "Compiling llama.cpp  40 of 80  80 s left",
    ]
