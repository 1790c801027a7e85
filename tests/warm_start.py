"""Runs a program in a process that is forked from one that has imported its modules already.

Importing the modules of a command takes half a second of CPU time, and PyTorch, transformers and
TRL take five, most of what a test of it needs. Memory, signals, limits, output and exit code are
those of any process. What depends on the start itself, such as the locale, needs a process from
scratch.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import pickle
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = dict(os.environ)
"""That of the test run: the one of the test that starts the process is gone after it."""
_INHERITED_LIMITS = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_PIPE_HOLDS = 60_000
"""Fewer bytes than a pipe takes before somebody reads it."""


@dataclass(frozen=True)
class Command:
    """A command line, what it reads, and where its output goes."""

    module: str
    """The package that is run, such as ``baize_tui``."""
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    """The working folder."""
    stdin: bytes
    limits: Mapping[int, tuple[int, int]]
    """Soft and hard limits by ``resource.RLIMIT_...``."""
    umask: int | None


class WarmStart:
    """A process that has imported ``modules`` and is forked for each command."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: bytes = b"",
        limit: tuple[int, int] | None = None,
        umask: int | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; ``limit`` is one of ``resource.RLIMIT_...`` and its value."""
        # As a child of this process would have them.
        limits = {kind: resource.getrlimit(kind) for kind in _INHERITED_LIMITS}
        if limit is not None:
            limits[limit[0]] = (limit[1], limit[1])
        cwd = str(Path.cwd())
        command = Command(module, arguments, dict(environment), cwd, stdin, limits, umask)
        with tempfile.TemporaryDirectory() as name, self._one_at_a_time:
            folder = Path(name)
            (folder / "command").write_bytes(pickle.dumps(command))
            server = self._server()
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(f"{folder}\n")
            server.stdin.flush()
            status = server.stdout.readline()
            assert status, "the warm process has ended"
            return subprocess.CompletedProcess(
                [module, *arguments],
                os.waitstatus_to_exitcode(int(status)),
                (folder / "output").read_bytes(),
                (folder / "errors").read_bytes(),
            )

    def _server(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_start", *self._modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
                env=_ENVIRONMENT,
            )
        return self._process


def as_text(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


PROGRAMS = WarmStart("baize_tui.cli.main", "baize_convert.cli.program", "baize_train.cli.app")
"""The three programs, without PyTorch."""
TRAINING = WarmStart("baize_train.cli.app", "baize_train.training.trainers")
"""``baize-train`` with PyTorch, transformers and TRL."""


def serve(modules: Sequence[str]) -> None:
    """Run the commands in the folders that stdin names; write each one's exit status to stdout."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection in a child would copy every page of the parent
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _run(Path(line.rstrip("\n")))
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")
        sys.stdout.flush()


def _run(folder: Path) -> None:
    """Become the process of a command, and end."""
    command: Command = pickle.loads((folder / "command").read_bytes())
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.environment)
    os.dup2(_readable(folder, command.stdin), 0)
    for name, descriptor in (("output", 1), ("errors", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind, values in command.limits.items():
        resource.setrlimit(kind, values)
    if command.umask is not None:
        os.umask(command.umask)
    sys.argv = [command.module, *command.arguments]
    code = 1
    try:
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            traceback.print_exception(error)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _readable(folder: Path, content: bytes) -> int:
    """A descriptor to read ``content`` from: a pipe, or a file for much of it."""
    if len(content) > _PIPE_HOLDS:
        (folder / "input").write_bytes(content)
        return os.open(folder / "input", os.O_RDONLY)
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


if __name__ == "__main__":
    from tests.warm_start import serve as serve_importable  # so that Command can be unpickled

    serve_importable(sys.argv[1:])
