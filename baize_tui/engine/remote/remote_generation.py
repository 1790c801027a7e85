"""One answer of a model on a server."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from baize_tui.engine.client import EngineFailure, GenerationEvent
from baize_tui.engine.client.sanitizing import sanitize
from baize_tui.engine.protocol import Delta, Finished, FinishReason, Generate, Stats
from baize_tui.engine.remote.chunks import Chunk, Usage, read_chunk
from baize_tui.engine.remote.end_reasons import End, read_end
from baize_tui.engine.remote.event_stream import EventStream
from baize_tui.engine.remote.request_body import NARROWER, request_body, unsent_options
from baize_tui.engine.remote.server_answer import ServerAnswer
from baize_tui.engine.remote.server_faults import SERVER_ERRORS
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.engine.remote.open_server import OpenServer

T = TypeVar("T")
_USAGE_S = 2.0
"""How long the counts may take after the end of the answer."""
_MOST_CHARACTERS = 64
"""Characters for each token that an answer may have, before the server is taken to ignore that."""
_OTHER_ENDS: dict[End, str] = {
    "filtered": msg("the filter of the server has ended the answer"),
    "tool": msg("the model wanted to call a tool, which there is none of"),
    "failed": msg("the server has broken off the answer"),
}
NO_TEXT = msg("the answer of the server has no text")


class RemoteGeneration:
    """Iterate it once."""

    def __init__(self, request: Generate, server: OpenServer) -> None:
        if request.sampling.seed is None:
            seed = random.SystemRandom().randrange(2**31)
            sampling = msgspec.structs.replace(request.sampling, seed=seed)
            request = msgspec.structs.replace(request, sampling=sampling)
        self._request = request
        self._server = server
        self._cancelled = asyncio.Event()
        self._answer = ServerAnswer(
            request.prompt.partial, request.stop, trim_at_stop=request.trim_at_stop
        )
        self._usage = Usage()
        self._finish_reason = ""
        """The last one; empty again where the answer goes on without one."""
        self._goes_on = True
        """Whether more words are likely to come."""
        self._is_counted = False
        """Whether the last words have been followed by the counts."""
        self._calls_tool = False
        self._began = time.monotonic()
        self._first = self._last = 0.0

    def cancel(self) -> None:
        """Close the connection, which stops the server, and keep what has come."""
        self._cancelled.set()

    async def __aiter__(self) -> AsyncGenerator[GenerationEvent, None]:
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        try:
            async with contextlib.aclosing(self._events(cancelled)) as events:
                async for event in events:
                    yield event
        finally:
            cancelled.cancel()

    async def _events(
        self, cancelled: asyncio.Future[Any]
    ) -> AsyncGenerator[GenerationEvent, None]:
        self._began = time.monotonic()
        stream = await self._open(cancelled)
        if (begin := self._answer.begin()) is not None:
            yield _sanitized(begin)
        failure: EngineFailure | None = None
        if stream is not None:
            try:
                async with contextlib.aclosing(self._deltas(stream, cancelled)) as deltas:
                    async for delta in deltas:
                        yield _sanitized(delta)
            except EngineFailure as error:
                failure = error
        if (rest := self._answer.finish()) is not None:
            yield _sanitized(rest)
        if failure is not None:
            raise failure
        finished = sanitize(self._finished())
        assert isinstance(finished, Finished)
        yield finished

    # --- opening --------------------------------------------------------------------------------

    async def _open(self, cancelled: asyncio.Future[Any]) -> EventStream | None:
        """The stream of an answer; None if it was cancelled before.

        Options that the server refuses are left out, and an answer that has no room beside the
        prompt may have less.

        Raises:
            EngineFailure: the server refuses.
        """
        server, request = self._server, self._request
        extent, max_tokens = server.extent, server.most_tokens(request)
        first: EngineFailure | None = None
        while True:
            post = partial(server.post, request_body(request, server.facts, extent, max_tokens))
            try:
                stream = await _unless(cancelled, post)
            except SERVER_ERRORS as error:
                failure = server.faults.failure(error)
                if failure.kind == "too_long":
                    less = failure.n_ctx - failure.tokens - 1
                    is_counted = failure.n_ctx and failure.tokens
                    failure = server.learn_limit(failure, request.prompt)
                    if not is_counted or not request.reserve <= less < max_tokens:
                        raise failure from error
                    max_tokens = less
                    continue
                if server.faults.is_cut(error):
                    raise await self._explain(failure, cancelled) from error
                first = first or failure
                narrower = NARROWER[extent]
                if not _may_be_an_option(error) or narrower is None:
                    raise first from error
                extent = narrower
            else:
                server.extent = extent
                return stream

    # --- reading --------------------------------------------------------------------------------

    async def _deltas(
        self, stream: EventStream, cancelled: asyncio.Future[Any]
    ) -> AsyncGenerator[Delta, None]:
        """What the server sends, until the answer ends.

        Raises:
            EngineFailure: it does not end well.
        """
        faults, chunks = self._server.faults, aiter(stream)
        failure: EngineFailure | None = None
        any_chunk = False
        try:
            while not self._has_ended:
                raw = await self._next(chunks, cancelled)
                if raw is _END:
                    break
                chunk = read_chunk(raw)
                if chunk is None:
                    raise faults.no_answer("")
                any_chunk |= chunk != Chunk()
                if (delta := self._take(chunk)) is not None:
                    yield delta
        except EngineFailure as error:
            failure = error
            if failure.kind == "too_long" and self._first:
                # The prompt did fit. With fewer turns the words so far would come once more.
                failure = EngineFailure(str(failure))
            elif failure.kind == "too_long":
                failure = self._server.learn_limit(failure, self._request.prompt)
        finally:
            with contextlib.suppress(*SERVER_ERRORS):
                await stream.close()
        if cancelled.done() or self._has_ended or (self._finish_reason and failure is None):
            return
        kind = stream.response.headers.get("content-type", "")
        is_empty = not any_chunk and kind.startswith("text/event-stream")
        if is_empty and not faults.says_why(failure):
            raise await self._explain(failure or faults.no_answer(kind), cancelled)
        if not any_chunk:
            raise failure or faults.no_answer(kind)
        raise failure or EngineFailure(
            tr("{host} has stopped in the middle of its answer", host=faults.host)
        )

    async def _next(self, chunks: AsyncIterator[object], cancelled: asyncio.Future[Any]) -> object:
        """The next event; ``_END`` after the last one, and where nobody wants it any more.

        Raises:
            EngineFailure: the connection broke, or an event is no JSON.
        """
        try:
            # After its end an answer owes only its counts.
            async with asyncio.timeout(None if self._goes_on else _USAGE_S):
                event = await _unless(cancelled, lambda: anext(chunks, _END))
        except SERVER_ERRORS as error:  # a timeout is one of these
            if not self._goes_on:
                return _END
            raise self._server.faults.failure(error) from error
        return _END if cancelled.done() else event

    async def _explain(
        self, failure: EngineFailure, cancelled: asyncio.Future[Any]
    ) -> EngineFailure:
        """Why a stream was empty or cut off, where ``failure`` is all that is known.

        Some servers notice only then that a prompt is too long, when it is too late to say so.
        The same question without a stream gets the reason.
        """
        server, request = self._server, self._request
        body = request_body(request, server.facts, server.extent, server.most_tokens(request))
        body = {name: body[name] for name in ("model", "messages")} | {"max_tokens": 1}
        try:
            await _unless(cancelled, partial(server.post_whole, body))
        except SERVER_ERRORS as error:
            failure = server.faults.failure(error)
        if failure.kind == "too_long":
            failure = server.learn_limit(failure, request.prompt)
        return failure

    def _take(self, chunk: Chunk) -> Delta | None:
        if chunk.is_whole and self._first:
            chunk = msgspec.structs.replace(chunk, text="", reasoning="")
        self._calls_tool |= chunk.calls_tool
        if chunk.text or chunk.reasoning:
            self._last = time.monotonic()
            self._first = self._first or self._last
        if chunk.usage is not None:
            self._usage = chunk.usage
        self._note_end(chunk)
        return self._answer.add(chunk)

    def _note_end(self, chunk: Chunk) -> None:
        """Take in the finish reason of ``chunk``, which need not be the end of the answer.

        Some servers send one with each piece, or where a thought ends.
        """
        if chunk.text.strip() or chunk.reasoning:
            is_end = bool(chunk.finish_reason and chunk.text and not self._finish_reason)
            self._goes_on = not is_end
            self._finish_reason = chunk.finish_reason
            self._is_counted = False
        else:
            self._finish_reason = chunk.finish_reason or self._finish_reason
            self._goes_on = self._goes_on and not chunk.finish_reason
            self._is_counted = self._usage.completion > 0

    @property
    def _has_ended(self) -> bool:
        """Whether nothing more of the stream is wanted."""
        if self._answer.stopped or (self._finish_reason and self._is_counted):
            return True
        return self._is_too_long

    @property
    def _is_too_long(self) -> bool:
        """Whether the answer has as many tokens as it may, or more than a server can mean.

        A server has one limit for thought and answer together.
        """
        if self._answer.answer_chunks >= self._request.max_tokens:
            return True
        most = _MOST_CHARACTERS * (self._request.max_tokens + self._request.max_thinking_tokens)
        return len(self._answer.text) + len(self._answer.reasoning) > most

    # --- the end --------------------------------------------------------------------------------

    def _finished(self) -> Finished:
        end = read_end(self._finish_reason)
        if end == "ended" and self._calls_tool:
            end = "tool"
        reason: FinishReason = "length" if end == "cut" else "stop"
        if self._cancelled.is_set() and not self._finish_reason:
            reason = "cancelled"
        elif self._is_too_long and not self._finish_reason:
            reason = "length"
        server, usage, answer = self._server, self._usage, self._answer
        counted = answer.answer_chunks + answer.thinking_chunks
        server.estimate.learn(self._request.prompt, usage.prompt)
        notices = []
        if why := _OTHER_ENDS.get(end):
            notices.append(tr(why))
        elif reason == "stop" and not answer.text.strip():
            notices.append(tr(NO_TEXT))
        if unsent := server.take_unsent(
            unsent_options(self._request.sampling, server.facts, server.extent)
        ):
            names = ", ".join(unsent)
            notices.append(
                tr("{host} does not take {options}", host=server.facts.address.host, options=names)
            )
        stats = Stats(
            prompt_tokens=usage.prompt or server.estimate.tokens(self._request.prompt),
            reused_tokens=min(usage.reused, usage.prompt),
            completion_tokens=usage.completion or counted,
            ttft_s=max(self._first - self._began, 0.0),
            prefill_s=max(self._first - self._began, 0.0),
            decode_s=max(self._last - self._first, 0.0),
            seed=self._request.sampling.seed or 0,
            threads=0,
            threads_batch=0,
            thinking_tokens=usage.thinking or answer.thinking_chunks,
        )
        return Finished(0, reason, answer.text, [], stats, notices, answer.reasoning)


_END = object()


def _sanitized(delta: Delta) -> Delta:
    clean = sanitize(delta)
    assert isinstance(clean, Delta)
    return clean


def _may_be_an_option(error: BaseException) -> bool:
    """Whether a server may have refused an option that it does not know."""
    return getattr(error, "status_code", 0) in (400, 422)


async def _unless(cancelled: asyncio.Future[Any], start: Callable[[], Awaitable[T]]) -> T | None:
    """What ``start`` gives; None once ``cancelled`` is done, which stops it at once."""
    if cancelled.done():
        return None
    work = asyncio.ensure_future(start())
    try:
        await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, *SERVER_ERRORS):
                await work
