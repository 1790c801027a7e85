"""The engine of a client whose model another process has loaded, for several clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.client import EngineFailure, Generation, ModelSpec
from baize_tui.engine.client.interface import GenerationEvent
from baize_tui.engine.client.model_worker import load_fields
from baize_tui.engine.protocol import (
    LINE_LIMIT,
    Cancel,
    CheckForm,
    Count,
    Event,
    Failed,
    Forget,
    Generate,
    Judge,
    Judged,
    Load,
    LoadedModel,
    Loading,
    PromptRead,
    ReadPrompt,
    Request,
    SaveCache,
    Warm,
    Warmed,
    encode_line,
    encode_request,
)
from baize_tui.engine.shared.messages import Notice, decode_message
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

GONE = msg("the process with the model has ended; start baize-tui web again")

AnswerT = TypeVar("AnswerT")
ProgressT = TypeVar("ProgressT")


class SharedEngine:
    """Asks an ``EngineBroker``."""

    def __init__(self, socket: Path) -> None:
        """``socket`` is that of the broker."""
        self.on_notice: Callable[[str], None] = lambda _notice: None
        self._socket = socket
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._inboxes: dict[int, asyncio.Queue[Event | None]] = {}
        """Events by request; None once the broker has gone."""
        self._last_request = 0

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Have requests of this client answered by another model.

        Raises:
            EngineFailure: it cannot be loaded.
        """

        def show(event: object) -> None:
            if isinstance(event, Loading) and progress is not None:
                progress(event.progress)

        return (await self._answer(Load(0, **load_fields(spec)), show)).model

    def generate(self, request: Generate) -> Generation:
        return _SharedGeneration(self, self._numbered(request))

    async def count(self, request: Count) -> int:
        return (await self._answer(request)).tokens

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        return await self._answer(request)

    async def judge(self, request: Judge) -> Judged:
        return await self._answer(request)

    async def check_form(self, request: CheckForm) -> None:
        await self._answer(request)

    async def warm(self, request: Warm) -> Warmed:
        return await self._answer(request)

    async def save_cache(self) -> str:
        return (await self._answer(SaveCache(0))).problem

    async def forget(self, conversation: str) -> None:
        await self._answer(Forget(0, conversation))

    async def unload(self) -> None:
        """Nothing: others may be using the model."""

    async def close(self) -> None:
        """Leave the broker."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            await self._reading

    # --- requests -------------------------------------------------------------------------------

    def _numbered(self, request: Any) -> Any:
        self._last_request += 1
        return msgspec.structs.replace(request, request=self._last_request)

    async def _answer(
        self,
        request: Request[AnswerT, ProgressT],
        on_progress: Callable[[ProgressT], None] | None = None,
    ) -> AnswerT:
        answer_type = request.answer_type()
        async with contextlib.aclosing(self.exchange(self._numbered(request))) as events:
            async for event in events:
                if isinstance(event, answer_type):
                    return event
                if on_progress is not None:
                    on_progress(event)
        raise EngineFailure(tr(GONE))

    async def exchange(
        self, request: Request[Any, Any], on_sent: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[Any, None]:
        """Send ``request``, call ``on_sent`` and yield the events; the last is the answer.

        Whoever stops iterating before stops the computation.

        Raises:
            EngineFailure: it failed, or the broker has gone.
        """
        writer = await self._connect()
        inbox: asyncio.Queue[Event | None] = asyncio.Queue()
        self._inboxes[request.request] = inbox
        answer_type, ended = request.answer_type(), False
        try:
            writer.write(_encoded(request))
            on_sent()
            while True:
                event = await inbox.get()
                ended = event is None or isinstance(event, Failed | answer_type)
                if event is None:
                    raise EngineFailure(tr(GONE))
                if isinstance(event, Failed):
                    raise EngineFailure(event.why, event.kind, event.tokens, event.n_ctx)
                yield event
                if ended:
                    return
        finally:
            del self._inboxes[request.request]
            if not ended:
                self.cancel(request.request)

    def cancel(self, number: int) -> None:
        """Stop computing the request with this number."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode_line(Cancel(number)))

    # --- the connection -------------------------------------------------------------------------

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(
                        str(self._socket), limit=LINE_LIMIT
                    )
                except OSError as error:
                    raise EngineFailure(tr(GONE)) from error
                self._reading = asyncio.create_task(self._read(reader), name="engine events")
            if self._writer.is_closing() or self._reading is None or self._reading.done():
                raise EngineFailure(tr(GONE))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, *JSON_ERRORS):
            while line := await reader.readline():
                message = decode_message(line)
                if isinstance(message, Notice):
                    self.on_notice(message.text)
                elif (inbox := self._inboxes.get(message.request)) is not None:
                    inbox.put_nowait(message)
        for inbox in self._inboxes.values():
            inbox.put_nowait(None)


class _SharedGeneration:
    """One ``Generate`` request; iterate it once."""

    def __init__(self, engine: SharedEngine, request: Generate) -> None:
        self._engine = engine
        self._request = request
        self._is_sent = self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        if self._is_sent:
            self._engine.cancel(self._request.request)

    async def __aiter__(self) -> AsyncGenerator[GenerationEvent, None]:
        def note_sent() -> None:
            self._is_sent = True
            if self._cancelled:
                self.cancel()

        async with contextlib.aclosing(self._engine.exchange(self._request, note_sent)) as events:
            async for event in events:
                yield event


def _encoded(request: Request[Any, Any]) -> bytes:
    try:
        return encode_request(request)
    except msgspec.ValidationError as error:
        raise EngineFailure(
            tr("an option is out of range: {why}", why=tr_shared(error)), "request"
        ) from error
