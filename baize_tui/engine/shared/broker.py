"""The owner of the model process: it serves its clients one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.client import EngineFailure, Generation, ModelSpec, WorkerEngine
from baize_tui.engine.protocol import (
    LINE_LIMIT,
    AnyRequest,
    Cancel,
    Event,
    Failed,
    Finished,
    Forget,
    Forgotten,
    Generate,
    Load,
    Loaded,
    Loading,
    SaveCache,
    Stats,
    Warm,
    decode_request,
)
from baize_tui.engine.shared.messages import SOCKET_NAME, Notice
from baize_tui.translation import msg, tr

NEEDED_ELSEWHERE = msg("the model is needed in another window")
_IDLE = (Warm, SaveCache)
"""Requests that wait for nobody: they give way."""
_NOTHING = Stats(0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0)


class EngineBroker:
    """Listens on a Unix socket; one request at a time uses the engine, in the order of arrival."""

    def __init__(self, engine: WorkerEngine, folder: Path) -> None:
        """``folder`` is for the socket: nobody else may be able to enter it."""
        self.socket = folder / SOCKET_NAME
        self._engine = engine
        self._engine.on_notice = self._tell_all
        self._lock = asyncio.Lock()
        self._loaded: Load | None = None
        """The request that has loaded the present model."""
        self._clients: set[_Client] = set()
        self._idle: asyncio.Task[None] | None = None
        """The idle request that uses the engine."""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(
            self._serve, str(self.socket), limit=LINE_LIMIT
        )
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.close()
        await self._engine.close()
        self.socket.unlink(missing_ok=True)

    @property
    def is_busy(self) -> bool:
        """Whether a request uses the engine."""
        return self._lock.locked()

    def _tell_all(self, notice: str) -> None:
        for client in self._clients:
            client.send(Notice(notice))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        try:
            while line := await reader.readline():
                request = decode_request(line)
                if isinstance(request, Cancel):
                    client.cancel(request.request)
                else:
                    client.start(request, self._answer(client, request))
        except (*JSON_ERRORS, ValueError, OSError):
            pass  # it has ended, or is none of ours
        finally:
            self._clients.discard(client)
            client.close()

    async def _answer(self, client: _Client, request: AnyRequest) -> None:
        """Send the events of ``request``, the answer last."""
        number = request.request
        try:
            if isinstance(request, SaveCache) and self._loaded != client.load:
                raise EngineFailure(
                    tr(NEEDED_ELSEWHERE)
                )  # another model is loaded: nothing is left
            async with self._turn(request):
                event = await self._use(client, request)
        except EngineFailure as failure:
            event = Failed(number, failure.kind, str(failure), failure.tokens, failure.n_ctx)
        client.send(msgspec.structs.replace(event, request=number))

    @contextlib.asynccontextmanager
    async def _turn(self, request: AnyRequest) -> Any:
        """The time in which ``request`` alone uses the engine."""
        if not isinstance(request, _IDLE) and self._idle is not None:
            self._idle.cancel()
        async with self._lock:
            self._idle = asyncio.current_task() if isinstance(request, _IDLE) else None
            try:
                yield
            finally:
                self._idle = None

    async def _use(self, client: _Client, request: AnyRequest) -> Event:
        """The answer to ``request``.

        Raises:
            EngineFailure: as its message says.
        """
        if isinstance(request, Load):
            client.load = request
            return await self._load(request, client.progress(request.request))
        if request.needs_model and client.load != self._loaded:
            if client.load is None:
                raise EngineFailure(tr("no model is loaded"), "load")
            await self._load(client.load, None)
        if isinstance(request, Forget):
            await self._engine.forget(request.conversation)
            return Forgotten(request.request)
        if isinstance(request, Generate):
            return await self._generate(client, request)
        answer: Event = await self._engine.request(request)
        return answer

    async def _load(self, request: Load, progress: Callable[[float], None] | None) -> Loaded:
        self._loaded = None
        names = [name for name in ModelSpec.__struct_fields__ if hasattr(request, name)]
        spec = ModelSpec(**{name: getattr(request, name) for name in names})
        self._engine.on_progress = progress
        model = await self._engine.load(spec)
        self._loaded = request
        return Loaded(request.request, model)

    async def _generate(self, client: _Client, request: Generate) -> Event:
        generation = self._engine.generate(request)
        with client.generating(request.request, generation):
            async for event in generation:
                if isinstance(event, Finished):
                    return event
                client.send(msgspec.structs.replace(event, request=request.request))
        raise EngineFailure(tr("the answer has no end"))


def _stopped(request: AnyRequest) -> Event:
    """The answer to a request that was stopped before it could use the engine, or that gave way."""
    if isinstance(request, Generate):
        return Finished(request.request, "cancelled", "", [], _NOTHING)
    return Failed(request.request, "engine", tr(NEEDED_ELSEWHERE))


class _Client:
    """One connection, and its requests that are not answered yet."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._generations: dict[int, Generation] = {}
        self.load: Load | None = None
        """The model that its requests are about."""

    def start(self, request: AnyRequest, answer: Coroutine[Any, Any, None]) -> None:
        """Run ``answer``, which ``cancel`` with the number of ``request`` stops."""
        task = asyncio.create_task(answer, name=f"request {request.request}")
        self._tasks[request.request] = task
        task.add_done_callback(partial(self._ended, request))

    def _ended(self, request: AnyRequest, task: asyncio.Task[None]) -> None:
        self._tasks.pop(request.request, None)
        if task.cancelled():  # perhaps before it began: here, because the task may never have run
            self.send(_stopped(request))
        elif task.exception() is not None:
            self.close()  # no answer comes: the client must not wait for it

    def cancel(self, number: int) -> None:
        """Stop a request: a generation that has begun ends with what it has written."""
        if (generation := self._generations.get(number)) is not None:
            generation.cancel()
        elif (task := self._tasks.get(number)) is not None:
            task.cancel()

    @contextlib.contextmanager
    def generating(self, number: int, generation: Generation) -> Any:
        self._generations[number] = generation
        try:
            yield
        finally:
            del self._generations[number]

    def progress(self, number: int) -> Callable[[float], None]:
        """Sends how much of a model is loaded."""
        return lambda done: self.send(Loading(number, done))

    def send(self, message: Event | Notice) -> None:
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        self._writer.close()
