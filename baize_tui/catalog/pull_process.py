"""A pull in a process of its own, beside a chat: its memory, its work and its end are its own.

The process is ``python -m baize_tui.catalog.pull_process NAME``: it says how far it is in lines of
JSON on stdout. Killed at any moment it leaves what the next one goes on with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_tui.catalog.adapters import known_adapters
from baize_tui.catalog.recipes import CatalogError, known_model
from baize_tui.paths import Paths, project_paths

_EVERY_S = 0.1
_END_S = 5.0


class Pulling(Struct, frozen=True, tag="pulling"):
    """``done`` bytes of ``total`` are there."""

    done: int
    total: int


class Pulled(Struct, frozen=True, tag="pulled"):
    path: str


class PullFailed(Struct, frozen=True, tag="failed"):
    why: str


_Line = Pulling | Pulled | PullFailed
_decode = msgspec.json.Decoder(_Line).decode


async def pull_beside(name: str, report: Callable[[int, int], object]) -> Path:
    """Pull the model or adapter ``name`` in a process of its own; cancelled, that process ends.

    Raises:
        CatalogError: it failed; the message is one line.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing from the current folder is imported
        "-m",
        "baize_tui.catalog.pull_process",
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the client alone
    )
    assert process.stdout is not None
    end: _Line | None = None
    try:
        while line := await process.stdout.readline():
            event = _decode(line)
            if isinstance(event, Pulling):
                report(event.done, event.total)
            else:
                end = event
    finally:
        if process.returncode is None and end is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.shield(process.wait())
    match end:
        case Pulled(path=path):
            return Path(path)
        case PullFailed(why=why):
            raise CatalogError(clean_line(why, 500))
    raise CatalogError(
        f"pulling {name} ended (exit code {process.returncode}); the same command goes on"
    )


def _say(event: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def _pull(name: str, paths: Paths) -> None:
    from baize_convert.failures import ConvertError
    from baize_tui.catalog.pull import pull, pull_adapter

    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY_S or done == total:
            last = now
            _say(Pulling(done, total))

    try:
        adapter = next((one for one in known_adapters(paths) if one.name == name), None)
        if adapter is not None:
            path = str(pull_adapter(adapter, paths).path)
        else:
            path = pull(known_model(name, paths), paths, report).path
    except (CatalogError, ConvertError, OSError) as error:
        _say(PullFailed(str(error)))
    else:
        _say(Pulled(path))


def _end_with_the_client() -> None:
    """The end of stdin says that the client is gone, however it ended."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_the_client, name="client", daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(10)  # the chat beside it goes first
    with contextlib.suppress(BrokenPipeError):
        _pull(sys.argv[1], project_paths())
    # Requests on their way need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
