"""Runs a command and ends the process with its exit code."""

from __future__ import annotations

import os
import sys

from baize_convert import PROGRAM
from baize_convert.cli.commands import app
from baize_convert.failures import ConvertError
from baize_shared.commands import INTERRUPTED, exit_code_of
from baize_shared.interruption import interruption_text
from baize_shared.program_start import end_process


def run(arguments: list[str]) -> int:
    """Run a command: 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""
    return exit_code_of(
        PROGRAM,
        lambda: app(arguments, prog_name=PROGRAM),
        (ConvertError,),
        interrupted=interruption_text,
    )


def main() -> None:
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # A normal exit would wait for requests in progress. Output and journal are written.
        sys.stdout.flush()
        os._exit(code)
    end_process(code)
