"""Prepares a process in which cases run, before any library in it has read its environment."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox

_sandbox: Sandbox


def prepare(top: str) -> None:
    """Give this process a sandbox in ``top``."""
    global _sandbox
    own = Path(top) / str(os.getpid())
    _sandbox = Sandbox(own / "sandbox", own / "seeds")
    _sandbox.seeds.mkdir(parents=True)
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        del os.environ[name]
    os.environ.update({**_sandbox.environment, "HF_ENDPOINT": server_url()})
    os.umask(0o077)


def sandbox() -> Sandbox:
    """The sandbox of this process."""
    return _sandbox


@functools.cache
def listening_socket() -> socket.socket:
    """One socket for all servers of this process: libraries read their address only once."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    return listening


def server_url() -> str:
    """The address of whichever server runs beside a command."""
    return f"http://127.0.0.1:{listening_socket().getsockname()[1]}"
