"""Runs the programs in processes that are forked from one that has imported them already.

Importing takes most of the time of a short command. Each child says which modules it needed, and
those after it have them from the start. Open files, signals, streams and exit code are those of any
process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0
"""How long a command may take."""

_LEARNED = ("baize_", "huggingface_hub", "gguf", "numpy", "tokenizers", "safetensors", "rich")
"""Beginnings of the names of modules that the next programs have from the start, with all that they
import themselves. Parts of other packages must not be imported alone."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int | None
    """None if it took too long and was killed; minus the signal if one ended it."""
    output: str
    errors: str


class RunningProgram:
    """A program that was started; ``wait`` for its end before the next one."""

    def __init__(self, server: WarmPrograms, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._server = server
        self._folder = folder
        self.pid = server.read_number(PATIENCE_S) or 0

    def has_ended(self) -> bool:
        """Whether it has ended by now."""
        return self._server.has_said_more()

    def signal(self, number: int) -> bool:
        """Send it a signal; whether it was still running."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return not self.has_ended()

    def wait(self, limit_s: float = PATIENCE_S) -> Ended:
        """The end of the program, which is killed after ``limit_s`` seconds."""
        code = self._server.read_number(limit_s)
        late = code is None
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._server.read_number(PATIENCE_S)
        output, errors = (
            (Path(self._folder.name) / name).read_text("utf-8", "replace")
            for name in ("output", "errors")
        )
        self._folder.cleanup()
        return Ended(code, output, errors)


class WarmPrograms:
    """Starts programs with ``environment``, in the folder ``cwd``; one at a time."""

    def __init__(self, environment: Mapping[str, str], cwd: Path) -> None:
        self._environment, self._cwd = dict(environment), cwd
        self._server: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def start(
        self,
        command: Sequence[str],
        *,
        typed: str = "",
        without: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> RunningProgram:
        """Start ``command``: Python's path, ``-m``, a module and its arguments.

        It cannot use the capabilities ``without``, and ``environment`` is added to its own.
        """
        if self._server is None:
            # The home marks the processes of the programs; this one goes on after them.
            unmarked = {**os.environ, **self._environment, "BAIZE_HOME": ""}
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=unmarked,
            )
        folder = tempfile.TemporaryDirectory(prefix="warm-")
        Path(folder.name, "input").write_text(typed)
        request = {
            "words": command[2:],
            "folder": folder.name,
            "cwd": str(self._cwd),
            "environment": {**self._environment, **(environment or {})},
            "without": list(without),
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        return RunningProgram(self, folder)

    def run(self, command: Sequence[str], typed: str = "") -> Ended:
        """Run ``command`` to its end."""
        return self.start(command, typed=typed).wait()

    def read_number(self, limit_s: float) -> int | None:
        """The next number that the server says, or None after ``limit_s`` seconds."""
        assert self._server is not None
        assert self._server.stdout is not None
        descriptor, end = self._server.stdout.fileno(), time.monotonic() + limit_s
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            read = os.read(descriptor, 4096)
            if not read:
                raise RuntimeError("the server of programs has ended")
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return int(line)

    def has_said_more(self) -> bool:
        """Whether ``read_number`` would return at once."""
        assert self._server is not None
        assert self._server.stdout is not None
        return bool(self._unread or select.select([self._server.stdout], [], [], 0)[0])

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()
            self._server = None


def _serve() -> None:
    """Start what is asked for on stdin; print the process id, and later the exit code."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        learned, teaching = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(learned)
            _become(request, teaching)
        os.close(teaching)
        print(pid, flush=True)
        with open(learned, "rb") as names:  # noqa: PTH123 - a descriptor
            modules = names.read().decode().split()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        for name in modules:
            with contextlib.suppress(BaseException):
                importlib.import_module(name)


def _become(request: dict[str, Any], teaching: int) -> None:
    """Run the program of ``request`` in this process, and end it."""
    os.set_inheritable(teaching, False)
    os.setpgid(0, 0)
    folder = Path(request["folder"])
    for number, (name, flags) in enumerate(
        (("input", os.O_RDONLY), ("output", os.O_WRONLY), ("errors", os.O_WRONLY))
    ):
        descriptor = os.open(folder / name, flags | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    drop_capabilities(request["without"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module, *arguments = request["words"]
    sys.argv = [module, *arguments]
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    known = set(sys.modules)
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    new = [name for name in sys.modules if name not in known and name.startswith(_LEARNED)]
    with contextlib.suppress(OSError):
        os.write(teaching, "\n".join(new).encode()[: 1 << 15])
    os._exit(code)


def drop_capabilities(numbers: Sequence[int]) -> None:
    """Give up capabilities of root, for this process and those that it starts."""
    if not numbers:
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for number in numbers:
        libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP: programs that it starts
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # this process
    values = (ctypes.c_uint32 * 6)()
    libc.capget(header, values)
    for number in numbers:
        for field in (0, 1, 2):
            values[number // 32 * 3 + field] &= ~(1 << number % 32)
    libc.capset(header, values)


if __name__ == "__main__":
    _serve()
