"""The asyncio side of the worker process: load, generate, cancel, and survive its death.

The process that shows the screen never imports ``llama_cpp``. A worker that dies takes no
conversation with it: what it had sent is there, the next request starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Protocol, Self

import msgspec
from msgspec import Struct

from baize_tui.engine.protocol import (
    LINE_LIMIT,
    AdapterChecked,
    Cancel,
    CheckAdapter,
    Count,
    Counted,
    Delta,
    Diagnose,
    Diagnosis,
    Event,
    Failed,
    FailureKind,
    Finished,
    Generate,
    GgufHeader,
    Inspect,
    Inspected,
    Load,
    Loaded,
    LoadedModel,
    Loading,
    Measure,
    Measured,
    Prefilling,
    Rendered,
    Rendering,
    Request,
    decode_event,
    encode_line,
)
from baize_tui.footprint import Measurement
from baize_tui.paths import private_folder
from baize_tui.sanitizer import clean_line, clean_text

TEMPLATE_DEADLINE_S = 1.5
"""A chat template renders in milliseconds; one that takes this long is ended by force."""
_SETTLE_S = 0.1
_CLOSE_S = 2.0
_LARGEST_LOG = 1 << 20

GenerationEvent = Prefilling | Delta | Finished


class EngineFailure(Exception):
    """A request failed; the message is one clean line."""

    def __init__(
        self, why: str, kind: FailureKind = "engine", tokens: int = 0, n_ctx: int = 0
    ) -> None:
        super().__init__(why)
        self.kind = kind
        self.tokens = tokens
        self.n_ctx = n_ctx


class WorkerDied(EngineFailure):
    """The model process ended by itself; the next request starts a new one."""


class ModelSpec(Struct, frozen=True):
    """What to load and how; the fields of ``protocol.Load``."""

    path: str
    context: int = 4096
    threads: int = 0
    threads_batch: int = 0
    gpu_layers: int | None = 0


class Generation(Protocol):
    """An answer on its way: an async iterator of events that can be stopped."""

    def __aiter__(self) -> AsyncIterator[GenerationEvent]: ...

    def cancel(self) -> None:
        """Stop the computation; what came stays, and ``Finished("cancelled")`` follows."""


class Engine(Protocol):
    """What ``chat`` needs of an engine."""

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel: ...

    def generate(self, request: Generate) -> Generation: ...

    async def count(self, request: Count) -> int: ...

    async def close(self) -> None: ...


_running: dict[int, asyncio.subprocess.Process] = {}
"""The workers of this process, by process id."""


def kill_workers() -> None:
    """End all workers of this process at once; any thread may call this."""
    for process in list(_running.values()):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


class _Worker:
    """One worker process and the requests that wait for its events."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._process = process
        self._log_file = log_file
        self._waiting: dict[int, asyncio.Queue[Event | EngineFailure]] = {}
        self._deadlines: dict[int, asyncio.Task[None]] = {}
        self._killed_for = ""
        self.loaded: ModelSpec | None = None
        _running[process.pid] = process
        self._reader = asyncio.create_task(self._read(), name="worker events")

    @classmethod
    async def start(cls, log_file: Path) -> Self:
        try:
            log = _open_log(log_file)
        except OSError as error:
            raise EngineFailure(f"{error.filename or log_file}: {error.strerror}") from error
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing from the current folder is imported
                "-m",
                "baize_tui.engine.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT,
                start_new_session=True,  # Ctrl-C in the terminal is for the client alone
                env={**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONUTF8": "1"},
            )
        finally:
            os.close(log)
        return cls(process, log_file)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._reader.done()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Request) -> None:
        if not self.alive or self._process.stdin is None:
            raise self._death()
        self._process.stdin.write(encode_line(request))

    async def events(self, request: Request) -> AsyncGenerator[Event, None]:
        """Send ``request`` and yield its events, until the caller has had enough.

        Raises:
            EngineFailure: the worker answered that it failed, or it died.
        """
        inbox: asyncio.Queue[Event | EngineFailure] = asyncio.Queue()
        self._waiting[request.request] = inbox
        try:
            self.send(request)
            while True:
                event = await inbox.get()
                if isinstance(event, EngineFailure):
                    raise event
                if isinstance(event, Failed):
                    raise EngineFailure(event.why, event.kind, event.tokens, event.n_ctx)
                yield event
        finally:
            del self._waiting[request.request]

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                event = _cleaned(decode_event(line))
                self._watch_template(event)
                inbox = self._waiting.get(event.request)
                if inbox is not None:
                    inbox.put_nowait(event)
        except (ValueError, msgspec.DecodeError) as error:
            self.kill(f"it said something that cannot be read: {error}")
        await self._process.wait()
        _running.pop(self._process.pid, None)
        for deadline in self._deadlines.values():
            deadline.cancel()
        death = self._death()
        for inbox in self._waiting.values():
            inbox.put_nowait(death)

    def _watch_template(self, event: Event) -> None:
        deadline = self._deadlines.pop(event.request, None)
        if deadline is not None:
            deadline.cancel()
        if isinstance(event, Rendering):
            self._deadlines[event.request] = asyncio.create_task(self._end_template())

    async def _end_template(self) -> None:
        await asyncio.sleep(TEMPLATE_DEADLINE_S)
        await asyncio.sleep(_SETTLE_S)  # let an answer that has come meanwhile be read
        self.kill(
            f"the chat template did not end within {TEMPLATE_DEADLINE_S} s; choose another prompt "
            "format (chat.format in the settings, or --format), such as chatml"
        )

    def kill(self, why: str) -> None:
        self._killed_for = why
        if self._process.returncode is None:
            self._process.kill()

    def _death(self) -> EngineFailure:
        if self._killed_for:
            kind: FailureKind = "template" if "template" in self._killed_for else "engine"
            return EngineFailure(self._killed_for, kind)
        code = self._process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (perhaps too little memory)" if name == "SIGKILL" else ""
            return WorkerDied(f"the model process was ended by {name}{hint}; see {self._log_file}")
        return WorkerDied(f"the model process ended (exit code {code}); see {self._log_file}")

    async def close(self) -> None:
        """End the worker: the end of its input makes it go."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_S)
        except TimeoutError:
            self._process.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


def _open_log(file: Path) -> int:
    """A descriptor that appends to ``file``, emptied first when it has grown large."""
    private_folder(file.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if file.exists() and file.stat().st_size > _LARGEST_LOG:
        flags |= os.O_TRUNC
    return os.open(file, flags, 0o600)


def _cleaned(event: Event) -> Event:
    """Texts from files and models are data; make them so where they enter."""
    match event:
        case Delta():
            return msgspec.structs.replace(event, text=clean_text(event.text))
        case Finished():
            return msgspec.structs.replace(event, text=clean_text(event.text))
        case Failed():
            return msgspec.structs.replace(event, why=clean_line(event.why, 500))
        case Loaded(model=model):
            model = msgspec.structs.replace(
                model,
                name=clean_line(model.name, 80),
                description=clean_line(model.description, 80),
            )
            return msgspec.structs.replace(event, model=model)
        case Inspected(header=header):
            header = msgspec.structs.replace(
                header,
                name=clean_line(header.name, 80),
                architecture=clean_line(header.architecture, 40),
                tokenizer=clean_line(header.tokenizer, 40),
                license=clean_line(header.license),
                chat_template=clean_text(header.chat_template),
                metadata={
                    clean_line(key): clean_text(value) for key, value in header.metadata.items()
                },
            )
            return msgspec.structs.replace(event, header=header)
        case _:
            return event


class _WorkerGeneration:
    """One ``Generate`` on its way through the worker."""

    def __init__(self, engine: WorkerEngine, request: Generate) -> None:
        self._engine = engine
        self._request = request
        self._worker: _Worker | None = None
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        if self._worker is not None and self._worker.alive:
            self._worker.send(Cancel(self._request.request))

    async def __aiter__(self) -> AsyncGenerator[GenerationEvent, None]:
        self._worker = worker = await self._engine.ready()
        finished = False
        try:
            events = worker.events(self._request)
            if self._cancelled:
                worker.send(Cancel(self._request.request))
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, Rendering | Rendered):
                        continue
                    assert isinstance(event, Prefilling | Delta | Finished)
                    finished = isinstance(event, Finished)
                    yield event
                    if finished:
                        return
        except EngineFailure as failure:
            finished = True
            self._engine.note_failure(self._request.prompt.template, failure)
            raise
        finally:
            if not finished and worker.alive:
                worker.send(Cancel(self._request.request))


class WorkerEngine:
    """The engine of a worker process, started when first needed and again after a death."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._worker: _Worker | None = None
        self._spec: ModelSpec | None = None
        self._loading = asyncio.Lock()
        self._last_request = 0
        self._bad_templates: dict[tuple[str, str | None], str] = {}
        self.on_progress: Callable[[float], None] | None = None
        """Hears how far a load is, also one that a dead worker made necessary."""

    @property
    def worker_pid(self) -> int | None:
        """The running worker's process id."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    def _next(self) -> int:
        self._last_request += 1
        return self._last_request

    async def _started(self) -> _Worker:
        if self._worker is None or not self._worker.alive:
            self._worker = await _Worker.start(self._log_file)
        return self._worker

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load a model in place of the one before.

        Raises:
            EngineFailure: the file cannot be loaded; the message names it and the reason.
        """
        if progress is not None:
            self.on_progress = progress
        async with self._loading:
            return await self._load(spec)

    async def _load(self, spec: ModelSpec) -> LoadedModel:
        worker = await self._started()
        worker.loaded = None
        self._spec = None
        request = Load(request=self._next(), **msgspec.structs.asdict(spec))
        async with contextlib.aclosing(worker.events(request)) as events:
            async for event in events:
                if isinstance(event, Loading) and self.on_progress is not None:
                    self.on_progress(event.progress)
                elif isinstance(event, Loaded):
                    worker.loaded = self._spec = spec
                    return event.model
        raise WorkerDied("the model process ended while loading")

    async def ready(self) -> _Worker:
        """A worker with the model loaded, a new one if the last has died."""
        async with self._loading:
            spec = self._spec
            if spec is None:
                raise EngineFailure("no model is loaded", "load")
            worker = await self._started()
            if worker.loaded != spec:
                try:
                    await self._load(spec)
                finally:
                    self._spec = spec
            return worker

    def generate(self, request: Generate) -> Generation:
        """Answer ``request``; the events raise ``EngineFailure`` where it fails."""
        request = msgspec.structs.replace(request, request=self._next())
        bad = self._bad_templates.get(self._template_key(request.prompt.template))
        if bad is not None:
            raise EngineFailure(bad, "template")
        return _WorkerGeneration(self, request)

    def _template_key(self, template: str | None) -> tuple[str, str | None]:
        return (self._spec.path if self._spec is not None else "", template)

    def note_failure(self, template: str | None, failure: EngineFailure) -> None:
        """Remember a template that had to be ended by force: it is not tried again."""
        if failure.kind == "template" and "did not end" in str(failure):
            self._bad_templates[self._template_key(template)] = str(failure)

    async def count(self, request: Count) -> int:
        """Tokens of a prompt."""
        worker = await self.ready()
        request = msgspec.structs.replace(request, request=self._next())
        async with contextlib.aclosing(worker.events(request)) as events:
            async for event in events:
                if isinstance(event, Counted):
                    return event.tokens
        raise WorkerDied("the model process ended while counting")

    async def inspect(self, path: str) -> GgufHeader:
        """The header of a GGUF file, checked."""
        worker = await self._started()
        async with contextlib.aclosing(worker.events(Inspect(self._next(), path))) as events:
            async for event in events:
                if isinstance(event, Inspected):
                    return event.header
        raise WorkerDied("the model process ended while reading the file")

    async def head_length(self, path: str) -> int:
        """Where the weights begin in a GGUF file; 0 where its header cannot be read."""
        try:
            return (await self.inspect(path)).data_offset
        except WorkerDied:
            raise
        except EngineFailure:
            return 0

    async def measure(
        self, path: str, context: int, *, gpu_layers: int | None = 0, budget: int = 0
    ) -> Measurement:
        """What loading the model at ``path`` would take; see ``protocol.Measure``.

        Raises:
            EngineFailure: the file is not a model that llama.cpp can run.
        """
        worker = await self._started()
        request = Measure(self._next(), path, context, gpu_layers, budget)
        async with contextlib.aclosing(worker.events(request)) as events:
            async for event in events:
                if isinstance(event, Measured):
                    return event.measurement
        raise WorkerDied("the model process ended while measuring")

    async def check_adapter(self, path: str, base: str) -> None:
        """Whether the GGUF LoRA at ``path`` is one of the model at ``base``.

        Raises:
            EngineFailure: it is not; the message names the tensor and its shapes.
        """
        worker = await self._started()
        async with contextlib.aclosing(
            worker.events(CheckAdapter(self._next(), path, base))
        ) as events:
            async for event in events:
                if isinstance(event, AdapterChecked):
                    return
        raise WorkerDied("the model process ended while reading the adapter")

    async def diagnose(self) -> Diagnosis:
        """What llama.cpp is on this machine."""
        worker = await self._started()
        async with contextlib.aclosing(worker.events(Diagnose(self._next()))) as events:
            async for event in events:
                if isinstance(event, Diagnosis):
                    return event
        raise WorkerDied("the model process ended while looking around")

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker.close()
            self._worker = None
