"""The boundary of each program: whatever happens, one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from baize_shared.commands import FAILED, INTERRUPTED, exit_code_of
from baize_shared.crash_log import show_tracebacks
from baize_tui.cli.translated_group import help_texts
from tests.program_commands import RUN, all_commands, program


class Panic(BaseException):
    """Like PyO3's panics, which are no ``Exception``."""


def raising(error: BaseException) -> Any:
    def command(*_: object) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        RecursionError("too deep"),
        Panic("index out of range"),
        ValueError("a\nb\x1b"),
        TimeoutError(),  # an error of the system by its type, which says nothing
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
    reason = ": " if str(error) else "; "
    assert f"unexpected error: {type(error).__name__}{reason}" in captured.err
    assert str(log) in captured.err
    assert "\x1b" not in captured.err
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_at_the_very_end_is_no_traceback() -> None:
    interrupt = raising(KeyboardInterrupt())
    assert exit_code_of("baize-train", interrupt, (), interrupted=interrupt) == INTERRUPTED


def test_too_little_memory_is_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of("baize-convert", raising(MemoryError()), ()) == FAILED
    assert "baize-convert: there is too little memory" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("not a folder")
    assert exit_code_of("baize-convert", raising(KeyError("x")), ()) == FAILED
    assert capsys.readouterr().err == "baize-convert: unexpected error: KeyError: 'x'\n"


@pytest.mark.parametrize("error", [KeyError("x"), LookupError("no model"), OSError(2, "gone")])
def test_debug_shows_the_traceback_as_text(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        show_tracebacks.set(True)
        raise error from ValueError("\x1b]0;title\x07")

    assert exit_code_of("baize-convert", command, (LookupError,)) == FAILED
    *traceback, line = capsys.readouterr().err.splitlines()
    assert traceback[0] == "ValueError: ␛]0;title␇"
    assert "Traceback (most recent call last):" in traceback
    assert line.startswith("baize-convert: ")
    assert exit_code_of("baize-convert", raising(error), (LookupError,)) == FAILED
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.sampled(12)
@pytest.mark.parametrize("words", all_commands())
def test_every_command_takes_debug(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *command = words.split()
    assert RUN[program]([*command, "--help"]) == 0
    assert "--debug" in capsys.readouterr().out
    assert RUN[program](["--debug", *command, "--help"]) == 0


def test_an_unexpected_error_of_a_program_is_shown_with_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.cli.models.known_models", raising(KeyError("x")))
    for arguments in (["--debug", "models", "list"], ["models", "list", "--debug"]):
        assert RUN["baize-tui"](arguments) == FAILED
        assert "Traceback" in capsys.readouterr().err
    assert RUN["baize-tui"](["models", "list"]) == FAILED
    assert "Traceback" not in capsys.readouterr().err


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


_LARGE = "for _ in range(9999): print('the answer')"


@pytest.mark.parametrize(
    ("printing", "end", "said"),
    [
        ("print('the answer')", "| true", ""),
        (_LARGE, "| true", ""),
        ("print('the answer')", ">/dev/full", "standard output: No space left on device"),
        (_LARGE, ">/dev/full", "system: No space left on device"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line_at_most(
    printing: str, end: str, said: str
) -> None:
    program = (
        "import sys; from baize_shared.commands import exit_code_of\n"
        f"def command():\n    {printing}\n"
        "sys.exit(exit_code_of('baize-tui', command, ()))"
    )
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {end}', "bash", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"baize-tui: {said}\n" if said else "")


def test_what_a_library_warns_of_is_not_printed() -> None:
    def command() -> None:
        warnings.warn("overflow encountered", RuntimeWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        assert exit_code_of("program", command, ()) == 0
        command()
    assert len(printed) == 1  # only outside


def test_what_is_said_after_ctrl_c() -> None:
    program = (
        "import os, signal, sys; from baize_shared.commands import exit_code_of\n"
        "from baize_shared.interruption import interruption_text, note_kept_work\n"
        "def command():\n    {}\n    os.kill(os.getpid(), signal.SIGINT); input()\n"
        "sys.exit(exit_code_of('baize-tui', command, (), interrupted=interruption_text))"
    )
    for work, said in (
        ("pass", ""),
        ("note_kept_work()", "; run the same command again to continue"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(work)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (130, f"baize-tui: interrupted{said}\n")


@pytest.mark.parametrize("name", RUN)
def test_help_shows_every_word_of_its_texts(name: str) -> None:
    """Typer reads ``[#model]`` as a mark for a colour, and leaves it out."""
    texts = [text.text for text in help_texts(program(name))]
    assert len(texts) > 40
    for text in texts:
        assert Text.from_markup(text).plain == text
