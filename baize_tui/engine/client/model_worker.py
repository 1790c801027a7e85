"""The worker with the loaded model: started when first needed, and again after a death."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from baize_tui.engine.client.attention_choice import AttentionChoice
from baize_tui.engine.client.failures import EngineFailure, WorkerDied
from baize_tui.engine.client.interface import ModelSpec
from baize_tui.engine.client.recovery import Operation, Recovery
from baize_tui.engine.client.worker_process import WorkerProcess
from baize_tui.engine.machine_cache import has_gpu_backend
from baize_tui.engine.protocol import Load, LoadedModel, Loading, Request, WarmingUp
from baize_tui.translation import tr

AnswerT = TypeVar("AnswerT")
ProgressT = TypeVar("ProgressT")
RequestT = TypeVar("RequestT", bound=Request[Any, Any])


def load_fields(spec: ModelSpec) -> dict[str, Any]:
    """The fields of ``spec`` that ``Load`` has: the others are for servers."""
    return {name: getattr(spec, name) for name in Load.__struct_fields__ if hasattr(spec, name)}


class ModelWorker:
    """Sends requests to the current worker, and repeats them in the next one when it dies."""

    def __init__(
        self, recovery: Recovery, attention: AttentionChoice, log_file: Path, snapshots: Path
    ) -> None:
        """``snapshots`` is the folder for the states of conversations."""
        self._recovery = recovery
        self._attention = attention
        self._log_file = log_file
        self._snapshots = snapshots
        self._process: WorkerProcess | None = None
        self._lock = asyncio.Lock()
        """Held while a worker is started or a model is loaded."""
        self._last_request = 0
        self.spec: ModelSpec | None = None
        """The model that requests are about."""
        self.on_progress: Callable[[float], None] | None = None
        """Receives how much of a model is loaded, 0 to 1, also when a new worker loads it again."""

    @property
    def pid(self) -> int | None:
        """The running worker's process id."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def renumber(self, request: RequestT) -> RequestT:
        """``request`` with a new number."""
        self._last_request += 1
        return msgspec.structs.replace(request, request=self._last_request)

    async def request(self, request: Request[AnswerT, ProgressT]) -> AnswerT:
        """Send ``request`` until a worker survives it; return its answer.

        Raises:
            EngineFailure: the worker reported a failure, or died under every profile.
        """
        with self._recovery.operation() as operation:

            async def choose_worker() -> WorkerProcess:
                async with self._lock:
                    if request.needs_model:
                        return await self._with_model(operation)
                    return await self._started()

            _, answer = await self._survive(operation, request, choose_worker)
            self._recovery.succeeded(operation)
            return answer

    async def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model in place of the current one.

        Raises:
            EngineFailure: it cannot be loaded, or does not compute.
        """
        async with self._lock:
            with self._recovery.operation() as operation:
                model = await self._load(spec, operation)
                self._recovery.succeeded(operation)
                return model

    async def ready(self, operation: Operation) -> WorkerProcess:
        """A worker with the model loaded: a new one if the last has died.

        Raises:
            EngineFailure: no model was loaded, or it cannot be loaded again.
        """
        async with self._lock:
            return await self._with_model(operation)

    async def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            await self._process.close()
            self._process = None

    async def _started(self) -> WorkerProcess:
        if self._process is None or not self._process.alive:
            profile = self._recovery.choose_profile()
            self._process = await WorkerProcess.start(self._log_file, profile)
        return self._process

    async def _with_model(self, operation: Operation) -> WorkerProcess:
        spec = self.spec
        if spec is None:
            raise EngineFailure(tr("no model is loaded"), "load")
        worker = await self._started()
        if worker.loaded != spec:
            try:
                await self._load(spec, operation)
            finally:
                self.spec = spec
            worker = await self._started()
        return worker

    async def _load(self, spec: ModelSpec, operation: Operation) -> LoadedModel:
        self.spec = None

        async def empty_worker() -> WorkerProcess:
            worker = await self._started()
            worker.loaded = None
            return worker

        flash = await self._flash_attention_pays(spec)
        request = Load(
            request=0,
            flash_attention=flash,
            snapshot_folder=str(self._snapshots),
            **load_fields(spec),
        )
        request = self._without_crashed_draft(request)
        worker, answer = await self._survive(operation, request, empty_worker, self._report)
        worker.loaded = self.spec = spec
        return answer.model

    def _without_crashed_draft(self, request: RequestT) -> RequestT:
        if not isinstance(request, Load):
            return request
        return msgspec.structs.replace(request, draft=self._recovery.usable_draft(request.draft))

    def give_up_draft(self, request: Request[Any, Any], death: WorkerDied) -> bool:
        """Whether to repeat ``request``, at which a worker has died, without the draft model."""
        if isinstance(request, Load):
            return self._recovery.give_up_draft(request.draft, death)
        if not request.needs_model or self.spec is None:
            return False
        return self._recovery.give_up_draft(self.spec.draft, death)

    async def _flash_attention_pays(self, spec: ModelSpec) -> bool:
        if spec.gpu_layers != 0 and has_gpu_backend():
            return self._attention.flash_pays_so_far()  # for what does not fit on the GPU
        return await self._attention.flash_pays()

    def _report(self, event: Loading | WarmingUp) -> None:
        if isinstance(event, Loading) and self.on_progress is not None:
            self.on_progress(event.progress)

    async def _survive(
        self,
        operation: Operation,
        request: Request[AnswerT, ProgressT],
        choose_worker: Callable[[], Awaitable[WorkerProcess]],
        on_progress: Callable[[ProgressT], None] | None = None,
    ) -> tuple[WorkerProcess, AnswerT]:
        """Repeat ``request`` under safer profiles until a worker answers; return both.

        Raises:
            EngineFailure: the worker reported a failure, or died under every profile.
        """
        while True:
            worker = await choose_worker()
            try:
                return worker, await worker.answer(self.renumber(request), on_progress)
            except WorkerDied as death:
                if self.give_up_draft(request, death):
                    request = self._without_crashed_draft(request)
                else:
                    self._recovery.step_down(operation, worker, death, request.file)
