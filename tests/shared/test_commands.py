"""The boundary of each program: whatever happens, one line and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baize_shared.commands import FAILED, INTERRUPTED, exit_code_of


class Panic(BaseException):
    """Like PyO3's panics, which are no ``Exception``."""


def raising(error: BaseException) -> Any:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        RecursionError("too deep"),
        Panic("index out of range"),
        ValueError("a\nb\x1b"),
    ],
)
def test_an_unexpected_exception_is_one_line_and_its_traceback_is_in_the_log(
    error: BaseException, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of("baize-convert", raising(error), ()) == FAILED
    captured = capsys.readouterr()
    log = home / "logs" / "baize-convert.log"
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert f"unexpected error: {type(error).__name__}: " in captured.err
    assert str(log) in captured.err
    assert "\x1b" not in captured.err
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_too_little_memory_is_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of("baize-convert", raising(MemoryError()), ()) == FAILED
    assert "baize-convert: there is too little memory" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("not a folder")
    assert exit_code_of("baize-convert", raising(KeyError("x")), ()) == FAILED
    assert capsys.readouterr().err == "baize-convert: unexpected error: KeyError: 'x'\n"


def test_expected_errors_and_interruptions_leave_no_log(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of("baize-convert", raising(LookupError("no model")), (LookupError,)) == FAILED
    assert exit_code_of("baize-convert", raising(KeyboardInterrupt()), ()) == INTERRUPTED
    assert capsys.readouterr().err == "baize-convert: no model\n"
    assert not home.exists()


_CLOSED = """
import sys
from baize_shared.commands import exit_code_of

def command():
    print("the answer", sys.stdin.read(), sys.stdin.isatty())
    print("a message", file=sys.stderr)

sys.exit(exit_code_of("baize-tui", command, ()))
"""


@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        ("<&-", 0, "the answer  False\n", "a message\n"),
        ("2>&-", 0, "the answer  False\n", ""),
        ("<&- 2>&-", 0, "the answer  False\n", ""),
        (">&-", 1, "", "baize-tui: there is nowhere to print to: standard output is closed\n"),
        ("<&- >&- 2>&-", 1, "", ""),
    ],
)
def test_standard_streams_may_be_closed(closed: str, code: int, out: str, err: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", _CLOSED],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
