"""``baize-tui web`` as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.serving.server_process import run_server


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
    command = [sys.executable, "-m", "baize_tui", "web", "--port", "0", "--json", *arguments]
    with run_server(command, environment) as server:
        yield Web(server.process, server.printed["url"])
