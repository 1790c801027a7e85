"""One worker process: started, spoken to in lines of JSON, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_shared.signal_names import signal_name
from baize_tui.engine.client.failures import (
    ANSWERING,
    ENDED_BY,
    ENDED_WHILE,
    EXITED,
    FIRST_TOKEN,
    PERHAPS_MEMORY,
    STARTING,
    EngineFailure,
    TemplateTimeout,
    WorkerDied,
)
from baize_tui.engine.client.interface import ModelSpec
from baize_tui.engine.client.sanitizing import sanitize
from baize_tui.engine.profiles import MachineProfile, environment_for
from baize_tui.engine.protocol import (
    LINE_LIMIT,
    Cancel,
    Delta,
    Event,
    Failed,
    Rendered,
    Rendering,
    Request,
    WarmingUp,
    decode_event,
    encode_line,
    encode_request,
)
from baize_tui.shared_texts import file_error, tr_shared
from baize_tui.translation import chosen_language, msg, tr

TEMPLATE_DEADLINE_S = 1.5
"""A chat template renders in milliseconds; the worker is killed to end one that takes this long."""
_SETTLE_S = 0.1
_CLOSE_S = 2.0
"""How long a process may take to end once its input is closed."""
_LARGEST_LOG = 1 << 20
NO_UTF8_NAME = msg("{file}: the name is not UTF-8; rename the file or its folder")
_ACTIVITY_AFTER: dict[type[Event], str] = {
    WarmingUp: FIRST_TOKEN,
    Delta: ANSWERING,
}
"""What the worker does after an event, where that is more than the request says."""

AnswerT = TypeVar("AnswerT")
ProgressT = TypeVar("ProgressT")
_running: dict[int, asyncio.subprocess.Process] = {}
"""The workers of this process, by process id."""


def kill_workers() -> None:
    """Kill all workers of this process at once; any thread may call this."""
    for process in list(_running.values()):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


class WorkerProcess:
    """A worker process and the requests that wait for its events."""

    def __init__(
        self, process: asyncio.subprocess.Process, log_file: Path, profile: MachineProfile
    ) -> None:
        self._process = process
        self._log_file = log_file
        self.profile = profile
        self.started = False
        """Whether it has loaded llama.cpp."""
        self.loaded: ModelSpec | None = None
        """The model in it."""
        self._inboxes: dict[int, asyncio.Queue[Event | None]] = {}
        """Events by request; None once the process has ended."""
        self._deadlines: dict[int, asyncio.Task[None]] = {}
        self._killed_because: EngineFailure | None = None
        _running[process.pid] = process
        self._reader = asyncio.create_task(self._read(), name="worker events")

    @classmethod
    async def start(cls, log_file: Path, profile: MachineProfile) -> Self:
        """Start a worker under ``profile``; what C code prints goes to ``log_file``.

        Raises:
            EngineFailure: the system cannot start another process.
        """
        log = open_log(log_file)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing from the current folder is imported
                "-m",
                "baize_tui.engine.worker",
                profile.name,
                chosen_language(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT,
                start_new_session=True,  # Ctrl-C in the terminal is for the client alone
                env={
                    **os.environ,
                    "GGML_NO_BACKTRACE": "1",
                    "PYTHONUTF8": "1",
                    **environment_for(profile),
                },
            )
        except OSError as error:
            what = file_error(error.filename or sys.executable, error)
            raise EngineFailure(
                tr("the model process cannot be started: {why}", why=what)
            ) from error
        finally:
            os.close(log)
        return cls(process, log_file, profile)

    @property
    def alive(self) -> bool:
        """Whether it still takes requests."""
        return self._process.returncode is None and not self._reader.done()

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- requests -------------------------------------------------------------------------------

    async def exchange(
        self, request: Request[AnswerT, ProgressT]
    ) -> AsyncGenerator[AnswerT | ProgressT, None]:
        """Send ``request`` and yield its events; the last is its answer.

        Whoever stops iterating before stops the computation.

        Raises:
            EngineFailure: the worker reported a failure.
            WorkerDied: it ended before the answer.
        """
        inbox: asyncio.Queue[Event | None] = asyncio.Queue()
        self._inboxes[request.request] = inbox
        activity, answer_type, ended = request.activity, request.answer_type(), False
        try:
            self._send(_encoded(request))
            while True:
                event = await inbox.get()
                ended = event is None or isinstance(event, Failed | answer_type)
                if event is None:
                    raise self._death(activity if self.started else STARTING)
                if isinstance(event, Failed):
                    raise EngineFailure(event.why, event.kind, event.tokens, event.n_ctx)
                activity = _ACTIVITY_AFTER.get(type(event), activity)
                yield cast("AnswerT | ProgressT", event)  # the declaration of the request says so
                if ended:
                    return
        finally:
            del self._inboxes[request.request]
            if not ended and self.alive:
                self.cancel(request.request)

    async def answer(
        self,
        request: Request[AnswerT, ProgressT],
        on_progress: Callable[[ProgressT], None] | None = None,
    ) -> AnswerT:
        """Send ``request`` and wait for its answer; ``on_progress`` receives what comes before.

        Raises:
            EngineFailure: see ``exchange``.
        """
        answer_type = request.answer_type()
        async with contextlib.aclosing(self.exchange(request)) as events:
            async for event in events:
                if isinstance(event, answer_type):
                    return event
                if on_progress is not None:
                    on_progress(cast("ProgressT", event))
        raise AssertionError("an exchange ends with its answer or with a failure")

    def cancel(self, request: int) -> None:
        """Stop computing the request with this number.

        Raises:
            WorkerDied: the process has ended.
        """
        self._send(encode_line(Cancel(request)))

    def _send(self, line: bytes) -> None:
        if not self.alive or self._process.stdin is None:
            raise self._death()
        self._process.stdin.write(line)

    # --- events ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                event = sanitize(decode_event(line))
                self.started = True
                self._watch_template(event)
                inbox = self._inboxes.get(event.request)
                if inbox is not None and not isinstance(event, Rendering | Rendered):
                    inbox.put_nowait(event)
        except JSON_ERRORS as error:
            self._kill(EngineFailure(f"the model process sent an unreadable line: {error}"))
        await self._process.wait()
        _running.pop(self._process.pid, None)
        for deadline in self._deadlines.values():
            deadline.cancel()
        for inbox in self._inboxes.values():
            inbox.put_nowait(None)

    def _watch_template(self, event: Event) -> None:
        deadline = self._deadlines.pop(event.request, None)
        if deadline is not None:
            deadline.cancel()
        if isinstance(event, Rendering):
            self._deadlines[event.request] = asyncio.create_task(self._end_template())

    async def _end_template(self) -> None:
        await asyncio.sleep(TEMPLATE_DEADLINE_S)
        await asyncio.sleep(_SETTLE_S)  # an answer that has just arrived can still be read
        self._kill(TemplateTimeout(TEMPLATE_DEADLINE_S))

    # --- the end --------------------------------------------------------------------------------

    def _kill(self, because: EngineFailure) -> None:
        self._killed_because = because
        if self._process.returncode is None:
            self._kill_process()

    def _kill_process(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended in this moment
            self._process.kill()

    def _death(self, activity: str = "") -> EngineFailure:
        """Why the process has ended; ``activity`` is what it was doing for a request."""
        if self._killed_because is not None:
            return self._killed_because
        code, log = self._process.returncode, self._log_file
        if code is None or code >= 0:
            return WorkerDied(EXITED.format(code=code), log=log)
        killed_by = -code
        why = ENDED_BY.format(signal=signal_name(killed_by))
        if killed_by == signal.SIGKILL:
            why = PERHAPS_MEMORY.format(why=why)
        if activity:
            why = ENDED_WHILE.format(why=why, activity=activity)
        return WorkerDied(why, killed_by=killed_by, log=log)

    async def close(self) -> None:
        """Close the input of the process, and kill it if it has not ended soon after."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_S)
        except TimeoutError:
            self._kill_process()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


def _encoded(request: Request[Any, Any]) -> bytes:
    try:
        return encode_request(request)
    except msgspec.ValidationError as error:
        raise EngineFailure(
            tr("an option is out of range: {why}", why=tr_shared(error)), "request"
        ) from error
    except UnicodeEncodeError as error:
        shown = request.file.encode("utf-8", "backslashreplace").decode()
        raise EngineFailure(
            tr("{file}: the name is not UTF-8; rename the file or its folder", file=shown),
            "request",
        ) from error


def open_log(file: Path) -> int:
    """A descriptor that appends to ``file``; a large file is emptied first.

    Where it cannot be written, as in a read-only home, the model answers without a log.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        private_folder(file.parent)
        if file.exists() and file.stat().st_size > _LARGEST_LOG:
            flags |= os.O_TRUNC
        return os.open(file, flags, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
