"""A pull in a process of its own: its memory, its work and its end do not affect the chat.

The process is ``python -m baize_tui.catalog.pull_process NAME``. It reports its progress on stdout,
in lines of JSON. It can be killed at any moment; the next pull resumes.
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

from baize_shared.crash_log import APP_NAME, record_crash
from baize_shared.sanitizer import clean_line
from baize_tui.catalog.adapters import known_adapters
from baize_tui.catalog.finding import known_model
from baize_tui.catalog.recipes import CatalogError
from baize_tui.paths import Paths, project_paths
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import Language, choose_language, chosen_language, msg, tr

_REPORT_EVERY_S = 0.1


class _Progress(Struct, frozen=True, tag="progress"):
    """``done`` bytes of ``total`` are on this machine."""

    done: int
    total: int


class _Finished(Struct, frozen=True, tag="finished"):
    """The model is at ``path``."""

    path: str


class _Failed(Struct, frozen=True, tag="failed"):
    """``why`` is one line."""

    why: str


_Event = _Progress | _Finished | _Failed
_decode = msgspec.json.Decoder(_Event).decode


ENDED = msg("the pull of {name} ended (exit code {code}); pull it again to resume")


async def pull_in_process(name: str, report: Callable[[int, int], object]) -> Path:
    """Pull the model or adapter ``name`` in a process of its own; cancelling ends that process.

    ``report`` receives how many bytes are done, and of how many.

    Raises:
        CatalogError: the pull failed; the message is one line.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing from the current folder is imported
        "-m",
        "baize_tui.catalog.pull_process",
        name,
        chosen_language(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the client alone
    )
    assert process.stdout is not None
    end: _Event | None = None
    try:
        while line := await process.stdout.readline():
            event = _decode(line)
            if isinstance(event, _Progress):
                report(event.done, event.total)
            else:
                end = event
    finally:
        if process.returncode is None and end is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.shield(process.wait())
    match end:
        case _Finished(path=path):
            return Path(path)
        case _Failed(why=why):
            raise CatalogError(clean_line(why, 500))
    raise CatalogError(tr(ENDED, name=name, code=process.returncode))


def _send(event: _Event) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def _pull(name: str, paths: Paths) -> None:
    from baize_convert.failures import ConvertError
    from baize_tui.catalog.pull import pull, pull_adapter

    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY_S or done == total:
            last = now
            _send(_Progress(done, total))

    try:
        adapters = (adapter for adapter in known_adapters(paths) if adapter.name == name)
        adapter = next(adapters, None)
        if adapter is not None:
            path = str(pull_adapter(adapter, paths).path)
        else:
            path = pull(known_model(name, paths), paths, report).path
    except (CatalogError, ConvertError, OSError) as error:
        _send(_Failed(str(error)))
    except Exception as error:  # noqa: BLE001 - the boundary of this process
        _send(_Failed(tr_shared(record_crash(APP_NAME, error))))
    else:
        _send(_Finished(path))


def _end_with_the_client() -> None:
    """Exit at the end of stdin: the client is gone, however it ended."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Pull the model or adapter that the first argument names; the second one is the language."""
    choose_language(msgspec.convert(sys.argv[2], Language))
    threading.Thread(target=_end_with_the_client, name="client", daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(10)  # the chat takes precedence
    with contextlib.suppress(BrokenPipeError):
        _pull(sys.argv[1], project_paths())
    # Do not wait for requests that are still running.
    os._exit(0)


if __name__ == "__main__":
    main()
