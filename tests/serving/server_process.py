"""A command that prints a JSON object and then serves until it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServerProcess:
    """A running server."""

    process: subprocess.Popen[bytes]
    printed: dict[str, Any]
    """What it says about itself."""


@contextmanager
def run_server(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None
) -> Iterator[ServerProcess]:
    """Run ``command`` until the block ends, then interrupt it as Ctrl-C does."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield ServerProcess(process, _read_object(process))
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        assert output == b""
        assert b"Traceback" not in errors, errors


def _read_object(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    printed = b""
    while not printed.endswith(b"}\n"):
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        printed += line
    found: dict[str, Any] = json.loads(printed)
    return found
