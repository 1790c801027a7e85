"""Runs a program in a process that is forked from one that has imported its modules already.

Importing the modules of a command takes half a second of CPU time, and PyTorch, transformers and
TRL take five, most of what a test of it needs. Memory, signals, limits, output and exit code are
those of any process. What depends on the start itself, such as the locale, needs a process from
scratch.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import resource
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Prepare = Callable[[], object]
"""What a process does before it runs the program; it has to be possible to pickle it."""
_ENVIRONMENT = dict(os.environ)
"""That of the test run: the one of the test that starts the process is gone after it."""
_INHERITED_LIMITS = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_PIPE_HOLDS = 60_000
"""Fewer bytes than a pipe takes before somebody reads it."""


@dataclass(frozen=True)
class Command:
    """A command line, and all that a child of the caller would inherit."""

    module: str
    """The package that is run, such as ``baize_tui``."""
    arguments: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    stdin: bytes
    limits: Mapping[int, tuple[int, int]]
    """Soft and hard limits by ``resource.RLIMIT_...``."""
    prepare: Prepare | None


class RunningCommand:
    """A command that was started; ``wait`` for its end before the next one."""

    def __init__(
        self, server: WarmStart, command: Command, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._server = server
        self._command = command
        self._folder = folder
        self.pid = server.read_number()

    def has_ended(self) -> bool:
        """Whether it has ended by now."""
        return self._server.has_said_more(0.0)

    def signal(self, number: int) -> bool:
        """Send it a signal; whether it was still running."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return not self.has_ended()

    def wait(self, limit_s: float | None = None) -> subprocess.CompletedProcess[bytes]:
        """How it ended.

        Raises:
            subprocess.TimeoutExpired: it took more than ``limit_s`` seconds, and was killed.
        """
        late = not self._server.has_said_more(limit_s)
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        status = self._server.read_number()
        self._server.in_use.release()
        out, err = (Path(self._folder.name, name).read_bytes() for name in ("output", "errors"))
        self._folder.cleanup()
        words = [self._command.module, *self._command.arguments]
        if late:
            assert limit_s is not None
            raise subprocess.TimeoutExpired(words, limit_s, out, err)
        return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), out, err)


class WarmStart:
    """A process that has imported ``modules``, and is forked for each command, one at a time.

    It runs in ``environment``, by default that of the test run.
    """

    def __init__(self, *modules: str, environment: Mapping[str, str] = _ENVIRONMENT) -> None:
        self._modules = modules
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self.in_use = threading.Lock()
        """Held from the start of a command to its end."""

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stdin: bytes = b"",
        prepare: Prepare | None = None,
    ) -> RunningCommand:
        """Start ``python -m module`` in a process group of its own.

        Waits until a command that another thread has started has ended.
        """
        self.in_use.acquire()
        limits = {kind: resource.getrlimit(kind) for kind in _INHERITED_LIMITS}
        where = str(cwd or Path.cwd())
        command = Command(module, arguments, dict(environment), where, stdin, limits, prepare)
        folder = tempfile.TemporaryDirectory(prefix="warm-")
        Path(folder.name, "command").write_bytes(pickle.dumps(command))
        server = self._server()
        assert server.stdin is not None
        server.stdin.write(os.fsencode(folder.name) + b"\n")
        server.stdin.flush()
        return RunningCommand(self, command, folder)

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: bytes = b"",
        prepare: Prepare | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``python -m module`` to its end."""
        return self.start(module, arguments, environment, stdin=stdin, prepare=prepare).wait()

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def has_said_more(self, limit_s: float | None) -> bool:
        """Whether the process says another number within ``limit_s`` seconds."""
        output = self._server().stdout
        assert output is not None
        end = None if limit_s is None else time.monotonic() + limit_s
        while b"\n" not in self._unread:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([output], [], [], left)[0]:
                return False
            read = os.read(output.fileno(), 4096)
            assert read, "the warm process has ended"
            self._unread += read
        return True

    def read_number(self) -> int:
        """The next number that the process says: the id of a command's process, or its status."""
        self.has_said_more(None)
        line, _, self._unread = self._unread.partition(b"\n")
        return int(line)

    def _server(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_start", *self._modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[1],
                env=self._environment,
            )
        return self._process


# What many commands import when they need it. Not huggingface_hub: it reads the environment then.
_LIBRARIES = ("datasketch", "numpy", "openai", "pydantic", "rich.markdown", "tokenizers")
PROGRAM_MODULES = ("baize_tui.cli.main", "baize_convert.cli.program", "baize_train.cli.app")
TRAINING_MODULES = (
    "baize_train.cli.app",
    "baize_train.training.finetune",
    "baize_train.training.sdf",
    "matplotlib.backends.backend_agg",  # for the loss curve: a quarter of the time of a short run
    "matplotlib.figure",
)
PROGRAMS = WarmStart(*PROGRAM_MODULES, *_LIBRARIES)
"""The three programs, without PyTorch."""
TRAINING = WarmStart(*TRAINING_MODULES)
"""``baize-train`` with PyTorch, transformers, TRL and matplotlib."""


def as_text(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def serve(modules: Sequence[str]) -> None:
    """Run the commands in the folders that stdin names; write process ids and exit statuses."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection in a child would copy every page of the parent
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            _become(Path(os.fsdecode(line.removesuffix(b"\n"))))
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


def _become(folder: Path) -> None:
    """Turn this process into that of a command, and end it."""
    os.setpgid(0, 0)
    command: Command = pickle.loads((folder / "command").read_bytes())
    os.chdir(command.cwd)
    os.environ.clear()
    os.environ.update(command.environment)
    os.dup2(_readable(folder, command.stdin), 0)
    for name, descriptor in (("output", 1), ("errors", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    sys.stdin = os.fdopen(0, closefd=False)  # that of the parent has read ahead
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind, values in command.limits.items():
        resource.setrlimit(kind, values)
    if command.prepare is not None:
        command.prepare()
    sys.argv = [command.module, *command.arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
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
            with contextlib.suppress(OSError, ValueError):  # it is closed
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
