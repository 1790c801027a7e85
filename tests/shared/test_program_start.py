"""What a program does first: private files, UTF-8 names, and no traceback of an import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from baize_shared.one_line_error import OneLineError


def start(program: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


PREPARE = "import os, sys; from baize_shared.program_start import prepare_process as p; p(); "
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


def test_of_a_long_message_the_middle_is_left_out() -> None:
    message = str(OneLineError(f"/{'a' * 5000}\n: File name too long"))
    assert len(message) == 1000
    assert message.startswith("/aaa")
    assert message.endswith("aaa : File name too long")
