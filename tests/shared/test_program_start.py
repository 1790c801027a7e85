"""What a program does first and last: private files, UTF-8 names, no traceback of Python itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from baize_shared.one_line_error import OneLineError


def start(program: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


PREPARE = (
    "import os, sys; from baize_shared.program_start import end_process, prepare_process;"
    "prepare_process('baize-tui'); "
)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_names_are_utf8_and_the_terminal_keeps_its_encoding() -> None:
    shown = PREPARE + "print(sys.getfilesystemencoding(), sys.stdout.encoding)"
    assert start(shown, **ASCII).stdout == "utf-8 ascii\n"
    assert start(shown, LC_ALL="C.UTF-8").stdout == "utf-8 utf-8\n"


def test_a_python_that_refuses_utf8_mode_is_not_started_again_and_again() -> None:
    shown = PREPARE + "print(sys.getfilesystemencoding())"
    assert start(shown, "-X", "utf8=0", **ASCII).stdout == "ascii\n"


def test_new_files_are_private() -> None:
    assert start(PREPARE + "print(oct(os.umask(0)))").stdout == "0o77\n"


def test_ctrl_c_during_the_imports_leaves_no_traceback() -> None:
    done = start(PREPARE + "os.kill(os.getpid(), 2); input()")
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_at_the_end_leaves_no_traceback() -> None:
    interrupted = "import atexit; atexit.register(lambda: (os.kill(os.getpid(), 2), input())); "
    enabled = "import signal; signal.signal(2, signal.default_int_handler); "
    done = start(PREPARE + interrupted + enabled + "end_process(0)")
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_what_a_destructor_raises_goes_to_the_log(tmp_path: Path) -> None:
    half_made = "type('HalfMade', (), {'__del__': lambda self: 1 / 0})(); print('done')"
    done = start(PREPARE + half_made, BAIZE_HOME=str(tmp_path))
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert "ZeroDivisionError" in (tmp_path / "logs" / "baize-tui.log").read_text()


def test_of_a_long_message_the_middle_is_left_out() -> None:
    message = str(OneLineError(f"/{'a' * 5000}\n: File name too long"))
    assert len(message) == 1000
    assert message.startswith("/aaa")
    assert message.endswith("aaa : File name too long")
