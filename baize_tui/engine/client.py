"""The asyncio side of the worker process: load, generate, cancel, and survive its death.

The process that shows the screen never imports ``llama_cpp``. A worker that is killed by a signal
takes nothing with it: another one is started under the next safer machine profile, and the request
that was running is repeated; an answer goes on after the tokens that had come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import msgspec
from msgspec import Struct

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.engine.profiles import (
    FULL,
    MachineProfile,
    ProfileCache,
    WorkingProfile,
    environment_for,
    has_gpu_backend,
    next_safer,
    profile_named,
)
from baize_tui.engine.protocol import (
    LINE_LIMIT,
    AdapterChecked,
    AdapterUse,
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
    LogitsWritten,
    Measure,
    Measured,
    Prefilling,
    Rendered,
    Rendering,
    Request,
    Score,
    Scored,
    ThreadsChosen,
    Tokenize,
    Tokenized,
    WarmingUp,
    WriteLogits,
    decode_event,
    encode_line,
)
from baize_tui.footprint import Measurement
from baize_tui.paths import Paths, private_folder

TEMPLATE_DEADLINE_S = 1.5
"""A chat template renders in milliseconds; one that takes this long is ended by force."""
_SETTLE_S = 0.1
_CLOSE_S = 2.0
_SHORT_CONTEXT = 256
_PROVEN_TOKENS = 8
"""An answer that has come so far under a profile shows that it works."""
_LARGEST_LOG = 1 << 20

GenerationEvent = Prefilling | ThreadsChosen | Delta | Finished

Answer = TypeVar("Answer", bound=Event)

_PHASE_OF_REQUEST: dict[type[Request], str] = {
    Load: "loading the model",
    Generate: "reading the prompt",
    Count: "counting tokens",
    Tokenize: "tokenizing",
    Score: "reading a text",
    WriteLogits: "reading a text",
    Inspect: "reading the file",
    Measure: "measuring the model",
    CheckAdapter: "reading the adapter",
    Diagnose: "looking at the machine",
}
_PHASE_AFTER_EVENT: dict[type[Event], str] = {
    WarmingUp: "computing a first token",
    Delta: "answering",
}


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

    def __init__(self, why: str, signal_name: str = "", phase: str = "", log: str = "") -> None:
        """``signal_name`` is the signal that killed it in the middle of ``phase``, if one did."""
        during = f" while {phase}" if signal_name and phase else ""
        super().__init__(f"{why}{during}{f'; see {log}' if log else ''}")
        self.why = why + during
        self.signal_name = signal_name
        self._log = log

    def during(self, phase: str) -> WorkerDied:
        return WorkerDied(self.why, self.signal_name, phase, self._log)


class NoProfileLeft(WorkerDied):
    """The model process died under every machine profile."""


_SENT_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals of the out-of-memory killer, a person or the system, which say little about a machine."""


class ModelSpec(Struct, frozen=True):
    """What to load and how; the fields of ``protocol.Load``."""

    path: str
    context: int = 4096
    threads: int = 0
    threads_batch: int = 0
    gpu_layers: int | None = 0
    device: str = ""
    all_logits: bool = False


class Generation(Protocol):
    """An answer on its way: an async iterator of events that can be stopped."""

    def __aiter__(self) -> AsyncIterator[GenerationEvent]: ...

    def cancel(self) -> None:
        """Stop the computation; what came stays, and ``Finished("cancelled")`` follows."""


class Engine(Protocol):
    """What ``chat`` needs of an engine."""

    on_notice: Callable[[str], None]
    """Hears one line about what was switched off because it crashed on this machine."""

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

    def __init__(
        self, process: asyncio.subprocess.Process, log_file: Path, profile: MachineProfile
    ) -> None:
        self._process = process
        self._log_file = log_file
        self.profile = profile
        self.started = False
        """Whether llama.cpp could be loaded."""
        self._waiting: dict[int, asyncio.Queue[Event | EngineFailure]] = {}
        self._deadlines: dict[int, asyncio.Task[None]] = {}
        self._killed_for = ""
        self.loaded: ModelSpec | None = None
        _running[process.pid] = process
        self._reader = asyncio.create_task(self._read(), name="worker events")

    @classmethod
    async def start(cls, log_file: Path, profile: MachineProfile) -> Self:
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
                profile.name,
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
        finally:
            os.close(log)
        return cls(process, log_file, profile)

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
        phase = _PHASE_OF_REQUEST[type(request)]
        try:
            self.send(request)
            while True:
                event = await inbox.get()
                if isinstance(event, WorkerDied):
                    raise event.during(phase if self.started else "starting")
                if isinstance(event, EngineFailure):
                    raise event
                if isinstance(event, Failed):
                    raise EngineFailure(event.why, event.kind, event.tokens, event.n_ctx)
                phase = _PHASE_AFTER_EVENT.get(type(event), phase)
                yield event
        finally:
            del self._waiting[request.request]

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                event = _cleaned(decode_event(line))
                self.started = True
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
        code, log = self._process.returncode, str(self._log_file)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (perhaps too little memory)" if name == "SIGKILL" else ""
            return WorkerDied(f"the model process was ended by {name}{hint}", name, log=log)
        return WorkerDied(f"the model process ended (exit code {code})", log=log)

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
    """One ``Generate`` on its way through the worker, or through several where one dies."""

    def __init__(self, engine: WorkerEngine, request: Generate) -> None:
        self._engine = engine
        self._request = request
        self._worker: _Worker | None = None
        self._cancelled = False
        self._ids: list[int] = []

    def cancel(self) -> None:
        self._cancelled = True
        if self._worker is not None and self._worker.alive:
            self._worker.send(Cancel(self._request.request))

    async def __aiter__(self) -> AsyncGenerator[GenerationEvent, None]:
        with self._engine.operation() as operation:
            while True:
                worker = await self._engine.ready(operation)
                try:
                    async with contextlib.aclosing(self._events_of(worker)) as events:
                        async for event in events:
                            yield event
                            if len(self._ids) >= len(self._request.resume) + _PROVEN_TOKENS:
                                self._engine.recovered(operation)
                except WorkerDied as death:
                    self._engine.step_down(operation, worker, death)
                    self._request = self._engine.renumbered(
                        msgspec.structs.replace(self._request, resume=list(self._ids))
                    )
                else:
                    self._engine.recovered(operation)
                    return

    async def _events_of(self, worker: _Worker) -> AsyncGenerator[GenerationEvent, None]:
        """Send the request and yield its events; the answer is stopped if nobody wants them."""
        self._worker = worker
        finished = False
        try:
            if self._cancelled:
                worker.send(Cancel(self._request.request))
            async with contextlib.aclosing(worker.events(self._request)) as events:
                async for event in events:
                    if isinstance(event, Rendering | Rendered):
                        continue
                    assert isinstance(event, GenerationEvent)
                    if isinstance(event, Delta):
                        self._ids += event.ids
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


class _Operation:
    """Something a caller asked for, which may take several workers."""

    first_death: WorkerDied | None = None


def _ignore(_notice: str) -> None:
    """For callers that have no place to say it."""


class WorkerEngine:
    """The engine of a worker process, started when first needed and again after a death."""

    def __init__(self, paths: Paths, on_notice: Callable[[str], None] = _ignore) -> None:
        """``on_notice`` hears one line when something was switched off because it crashed."""
        self._log_file = paths.worker_log
        self._profiles = ProfileCache(paths.machine_profile_file)
        self._worker: _Worker | None = None
        self._profile: MachineProfile = FULL
        self._stepping_down: _Operation | None = None
        self._closing = False
        self._spec: ModelSpec | None = None
        self._loading = asyncio.Lock()
        self._last_request = 0
        self._bad_templates: dict[tuple[str, str | None], str] = {}
        self.on_notice = on_notice
        self.on_progress: Callable[[float], None] | None = None
        """Hears how far a load is, also one that a dead worker made necessary."""

    @property
    def worker_pid(self) -> int | None:
        """The running worker's process id."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    @property
    def profile(self) -> MachineProfile:
        """The machine profile that the worker runs under, or will."""
        return self._profile

    @property
    def remembered(self) -> WorkingProfile | None:
        """The profile that is remembered for this machine, None where the fastest one works."""
        return self._profiles.read()

    def renumbered(self, request: Request) -> Any:
        """``request`` with a number of its own."""
        self._last_request += 1
        return msgspec.structs.replace(request, request=self._last_request)

    # --- machine profiles -----------------------------------------------------------------------

    async def _started(self) -> _Worker:
        if self._worker is None or not self._worker.alive:
            if self._stepping_down is None:
                self._profile = self._remembered_profile()
            self._worker = await _Worker.start(self._log_file, self._profile)
        return self._worker

    def _remembered_profile(self) -> MachineProfile:
        known = self.remembered
        return profile_named(known.profile) if known is not None else FULL

    @contextlib.contextmanager
    def operation(self) -> Iterator[_Operation]:
        """What a caller asked for, from the first try to its end."""
        operation = _Operation()
        try:
            yield operation
        finally:
            if self._stepping_down is operation:
                self._stepping_down = None

    def step_down(
        self, operation: _Operation, worker: _Worker, death: WorkerDied, path: str = ""
    ) -> None:
        """Choose the next safer profile after ``worker`` died in the middle of ``operation``.

        ``path`` is the file that the operation is about; empty is the loaded model.

        Raises:
            WorkerDied: no signal killed it, or this engine is being closed.
            NoProfileLeft: it died under every profile.
        """
        if not death.signal_name or self._closing:
            raise death
        if worker.profile != self._profile:
            return  # another request that the same worker ran has done it
        if self._stepping_down is None:
            self._stepping_down = operation
            operation.first_death = death
        safer = next_safer(self._profile, gpu_backend=has_gpu_backend())
        if safer is not None:
            self._profile = safer
            return
        self._profile = self._remembered_profile()
        path = path or (worker.loaded.path if worker.loaded is not None else "")
        why = f"{death.why}, in every machine profile; see {self._log_file}"
        if not worker.started or death.signal_name == "SIGILL":
            # Every profile runs the same library: it is compiled for another processor.
            why = (
                f"llama.cpp cannot run on this machine: {why}. Install llama-cpp-python again, "
                "compiled for this processor (README, Installation)"
            )
        elif path:
            why = f"{path} is damaged, or llama.cpp cannot run it: {why}"
        raise NoProfileLeft(why)

    def recovered(self, operation: _Operation) -> None:
        """``operation`` has succeeded: if it had killed a worker, remember how, and say so."""
        death, operation.first_death = operation.first_death, None
        if death is None:
            return
        self._stepping_down = None
        self._profiles.write(
            self._profile, death.why, temporary=death.signal_name in _SENT_FROM_OUTSIDE
        )
        without = ", ".join(self._profile.switched_off)
        self.on_notice(f"{death.why}; llama.cpp now runs without {without}")

    async def _answer(self, request: Request, kind: type[Answer], *, loaded: bool) -> Answer:
        """Send ``request`` until a worker survives it; its one event. ``loaded`` needs the model.

        Raises:
            EngineFailure: as the worker says, or it died under every profile.
        """
        with self.operation() as operation:
            while True:
                async with self._loading:
                    worker = await (self._ready(operation) if loaded else self._started())
                try:
                    return await self._answer_of(worker, request, kind, operation)
                except WorkerDied as death:
                    self.step_down(operation, worker, death, getattr(request, "path", ""))

    async def _answer_of(
        self, worker: _Worker, request: Request, kind: type[Answer], operation: _Operation
    ) -> Answer:
        async with contextlib.aclosing(worker.events(self.renumbered(request))) as events:
            async for event in events:
                if isinstance(event, kind):
                    self.recovered(operation)
                    return event
        raise AssertionError("the events of a request end with its answer or with a failure")

    # --- the model ------------------------------------------------------------------------------

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load a model in place of the one before, and compute a first token with it.

        Raises:
            EngineFailure: the file cannot be loaded; the message names it and the reason.
        """
        if progress is not None:
            self.on_progress = progress
        async with self._loading:
            with self.operation() as operation:
                model = await self._load(spec, operation)
                self.recovered(operation)
                return model

    async def _load(self, spec: ModelSpec, operation: _Operation) -> LoadedModel:
        self._spec = None
        while True:
            worker = await self._started()
            try:
                model = await self._load_in(worker, spec)
            except WorkerDied as death:
                self.step_down(operation, worker, death, spec.path)
            else:
                worker.loaded = self._spec = spec
                return model

    async def _load_in(self, worker: _Worker, spec: ModelSpec) -> LoadedModel:
        worker.loaded = None
        request = self.renumbered(Load(request=0, **msgspec.structs.asdict(spec)))
        async with contextlib.aclosing(worker.events(request)) as events:
            async for event in events:
                if isinstance(event, Loading) and self.on_progress is not None:
                    self.on_progress(event.progress)
                elif isinstance(event, Loaded):
                    return event.model
        raise AssertionError("the events of a load end with it or with a failure")

    async def ready(self, operation: _Operation) -> _Worker:
        """A worker with the model loaded, a new one if the last has died."""
        async with self._loading:
            return await self._ready(operation)

    async def _ready(self, operation: _Operation) -> _Worker:
        spec = self._spec
        if spec is None:
            raise EngineFailure("no model is loaded", "load")
        worker = await self._started()
        if worker.loaded != spec:
            try:
                await self._load(spec, operation)
            finally:
                self._spec = spec
            worker = await self._started()
        return worker

    # --- requests -------------------------------------------------------------------------------

    def generate(self, request: Generate) -> Generation:
        """Answer ``request``; the events raise ``EngineFailure`` where it fails."""
        bad = self._bad_templates.get(self._template_key(request.prompt.template))
        if bad is not None:
            raise EngineFailure(bad, "template")
        if request.sampling.seed is None:
            # Chosen here, so that a request that is repeated keeps it.
            seed = random.SystemRandom().randrange(2**31)
            sampling = msgspec.structs.replace(request.sampling, seed=seed)
            request = msgspec.structs.replace(request, sampling=sampling)
        return _WorkerGeneration(self, self.renumbered(request))

    def _template_key(self, template: str | None) -> tuple[str, str | None]:
        return (self._spec.path if self._spec is not None else "", template)

    def note_failure(self, template: str | None, failure: EngineFailure) -> None:
        """Remember a template that had to be ended by force: it is not tried again."""
        if failure.kind == "template" and "did not end" in str(failure):
            self._bad_templates[self._template_key(template)] = str(failure)

    async def count(self, request: Count) -> int:
        """Tokens of a prompt."""
        return (await self._answer(request, Counted, loaded=True)).tokens

    async def tokenize(self, path: str, text: str) -> list[int]:
        """Ids of ``text`` alone, with the vocabulary of the GGUF file ``path``."""
        return (await self._answer(Tokenize(0, path, text), Tokenized, loaded=False)).ids

    async def losses(self, ids: list[int], adapters: Sequence[AdapterUse] = ()) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats.

        Raises:
            EngineFailure: more ids than the context holds, or an adapter is not of this model.
        """
        request = Score(0, ids, list(adapters))
        return (await self._answer(request, Scored, loaded=True)).losses

    async def write_logits(self, ids: list[int], output: Path) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary]."""
        await self._answer(WriteLogits(0, ids, str(output)), LogitsWritten, loaded=True)

    async def inspect(self, path: str) -> GgufHeader:
        """The header of a GGUF file, checked."""
        return (await self._answer(Inspect(0, path), Inspected, loaded=False)).header

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
        request = Measure(0, path, context, gpu_layers, budget)
        return (await self._answer(request, Measured, loaded=False)).measurement

    async def check_adapter(self, path: str, base: str) -> None:
        """Whether the GGUF LoRA at ``path`` is one of the model at ``base``.

        Raises:
            EngineFailure: it is not; the message names the tensor and its shapes.
        """
        await self._answer(CheckAdapter(0, path, base), AdapterChecked, loaded=False)

    async def try_model(self, path: str) -> None:
        """Load the model at ``path`` with a short context, and compute a first token with it.

        Raises:
            EngineFailure: it cannot be loaded, or it does not compute.
        """
        await self.load(ModelSpec(path, context=_SHORT_CONTEXT))

    async def diagnose(self) -> Diagnosis:
        """What llama.cpp is on this machine."""
        return await self._answer(Diagnose(0), Diagnosis, loaded=False)

    async def close(self) -> None:
        """End the worker, and what it computes."""
        self._closing = True
        if self._worker is not None:
            await self._worker.close()
            self._worker = None
