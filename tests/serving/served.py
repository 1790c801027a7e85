"""``baize-tui serve`` as a program runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import openai

from baize_shared.server_address import parse_address
from tests.serving.server_process import run_server


@dataclass(frozen=True)
class Served:
    """A running endpoint."""

    process: subprocess.Popen[bytes]
    url: str
    model: str
    token: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    @property
    def spec(self) -> str:
        return f"server:{self.url}"

    @property
    def key(self) -> str:
        """The value of ``BAIZE_SERVER_KEY``."""
        return f"{parse_address(self.spec).host}={self.token}"

    def client(self, token: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.url, api_key=self.token if token is None else token, max_retries=0
        )


@contextmanager
def serve(*arguments: str, environment: Mapping[str, str] = {}) -> Iterator[Served]:
    """Run ``serve`` on a free port until the block ends, then interrupt it as Ctrl-C does."""
    command = [sys.executable, "-m", "baize_tui", "serve", "--port", "0", "--json", *arguments]
    with run_server(command, environment) as server:
        yield Served(server.process, **server.printed)
