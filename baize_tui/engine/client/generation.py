"""An answer that is being generated, by one worker or, if that dies, by the next ones."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable

import msgspec

from baize_tui.engine.client.failures import EngineFailure, WorkerDied
from baize_tui.engine.client.interface import GenerationEvent
from baize_tui.engine.client.model_worker import ModelWorker
from baize_tui.engine.client.recovery import Recovery
from baize_tui.engine.client.worker_process import WorkerProcess
from baize_tui.engine.protocol import Delta, Generate

_PROVEN_TOKENS = 8
"""A profile works once this many tokens of an answer were generated under it."""


class WorkerGeneration:
    """One ``Generate`` request; iterate it once."""

    def __init__(
        self,
        request: Generate,
        model_worker: ModelWorker,
        recovery: Recovery,
        on_failure: Callable[[EngineFailure], None],
    ) -> None:
        """``on_failure`` receives the failure that the events raise."""
        self._request = request
        self._model_worker = model_worker
        self._recovery = recovery
        self._on_failure = on_failure
        self._worker: WorkerProcess | None = None
        self._cancelled = False
        self._ids: list[int] = []

    def cancel(self) -> None:
        """Stop the computation; see ``Generation``."""
        self._cancelled = True
        if self._worker is not None and self._worker.alive:
            self._worker.cancel(self._request.request)

    async def __aiter__(self) -> AsyncGenerator[GenerationEvent, None]:
        with self._recovery.operation() as operation:
            while True:
                worker = await self._model_worker.ready(operation)
                try:
                    async with contextlib.aclosing(self._events(worker)) as events:
                        async for event in events:
                            yield event
                            if len(self._ids) >= len(self._request.resume) + _PROVEN_TOKENS:
                                self._recovery.succeeded(operation)
                except WorkerDied as death:
                    if not self._model_worker.give_up_draft(self._request, death):
                        self._recovery.step_down(operation, worker, death)
                    self._request = self._model_worker.renumber(
                        msgspec.structs.replace(self._request, resume=list(self._ids))
                    )
                else:
                    self._recovery.succeeded(operation)
                    return

    async def _events(self, worker: WorkerProcess) -> AsyncGenerator[GenerationEvent, None]:
        """The events from one worker."""
        self._worker = worker
        try:
            if self._cancelled:
                worker.cancel(self._request.request)
            async with contextlib.aclosing(worker.exchange(self._request)) as events:
                async for event in events:
                    if isinstance(event, Delta):
                        self._ids += event.ids
                    yield event
        except EngineFailure as failure:
            self._on_failure(failure)
            raise
