"""``baize-tui web`` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Web:
    """A running server of the page."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def path(self) -> str:
        """The secret path of the page."""
        return urlsplit(self.url).path


@contextmanager
def web(*arguments: str, environment: Mapping[str, str] = {}) -> Iterator[Web]:
    """Serve the page on a free port until the block ends, then interrupt it as Ctrl-C does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "baize_tui", "web", "--port", "0", "--json", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        printed = b"".join(iter(process.stdout.readline, b"}\n")) + b"}"
        yield Web(process, json.loads(printed)["url"])
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        assert output == b""
        assert b"Traceback" not in errors, errors
