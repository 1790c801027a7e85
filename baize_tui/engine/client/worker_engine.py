"""The engine that other packages use."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from baize_tui.engine.attention import TrialResult
from baize_tui.engine.client.attention_choice import AttentionChoice
from baize_tui.engine.client.failures import EngineFailure, TemplateTimeout, WorkerDied
from baize_tui.engine.client.generation import WorkerGeneration
from baize_tui.engine.client.interface import Generation, ModelSpec
from baize_tui.engine.client.model_worker import ModelWorker
from baize_tui.engine.client.recovery import Recovery
from baize_tui.engine.client.worker_process import TEMPLATE_DEADLINE_S
from baize_tui.engine.profile_cache import ProfileCache, WorkingProfile
from baize_tui.engine.profiles import MachineProfile
from baize_tui.engine.protocol import (
    AdapterUse,
    CheckAdapter,
    CheckForm,
    Count,
    Diagnose,
    Diagnosis,
    Encode,
    Forget,
    Generate,
    GgufHeader,
    Inspect,
    Judge,
    Judged,
    LoadedModel,
    Measure,
    Prompt,
    PromptRead,
    ReadPrompt,
    Request,
    SaveCache,
    Score,
    Tokenize,
    Warm,
    Warmed,
    WriteLogits,
    WriteTemplate,
)
from baize_tui.engine.snapshots.snapshot_folder import forget_conversation
from baize_tui.footprint import Measurement
from baize_tui.paths import Paths
from baize_tui.settings import KvType

AnswerT = TypeVar("AnswerT")
ProgressT = TypeVar("ProgressT")
_SHORT_CONTEXT = 256
_TemplateKey = tuple[str, str | None]
"""Model file and template, None for the model's own."""


def _ignore(_notice: str) -> None:
    """For callers that cannot show notices."""


class WorkerEngine:
    """An engine whose model runs in a worker process."""

    def __init__(self, paths: Paths, on_notice: Callable[[str], None] = _ignore) -> None:
        """``on_notice`` receives one line when something is switched off because it crashed."""
        self.on_notice = on_notice
        self._recovery = Recovery(
            ProfileCache(paths.machine_profile_file),
            paths.worker_log,
            lambda notice: self.on_notice(notice),
        )
        self._attention = AttentionChoice(paths.attention_file, paths.worker_log)
        self._snapshots = paths.snapshots_folder
        self._model_worker = ModelWorker(
            self._recovery, self._attention, paths.worker_log, self._snapshots
        )
        self._endless_templates: set[_TemplateKey] = set()

    @property
    def on_progress(self) -> Callable[[float], None] | None:
        """Receives how much of a model is loaded, 0 to 1, also after the death of a worker."""
        return self._model_worker.on_progress

    @on_progress.setter
    def on_progress(self, listener: Callable[[float], None] | None) -> None:
        self._model_worker.on_progress = listener

    @property
    def worker_pid(self) -> int | None:
        """The running worker's process id."""
        return self._model_worker.pid

    @property
    def profile(self) -> MachineProfile:
        """The machine profile of the running worker, or of the next one."""
        return self._recovery.profile

    @property
    def working_profile(self) -> WorkingProfile | None:
        """The profile remembered for this machine; None as long as the fastest one works."""
        return self._recovery.working_profile

    @property
    def attention_trial(self) -> TrialResult | None:
        """What the trial of attention has shown on this machine; None without one."""
        return self._attention.known_result

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load a model in place of the current one, and compute a first token with it.

        Raises:
            EngineFailure: the file cannot be loaded; the message names it and the reason.
        """
        if progress is not None:
            self.on_progress = progress
        return await self._model_worker.load(spec)

    async def request(self, request: Request[AnswerT, ProgressT]) -> AnswerT:
        """The answer to any request but ``Load``; ``request.request`` is set here.

        Raises:
            EngineFailure: the worker reported a failure, or died under every profile.
        """
        with_template = Count | Warm | ReadPrompt | Judge
        key = self._template_key(request) if isinstance(request, with_template) else None
        self._refuse_endless(key)
        try:
            return await self._model_worker.request(request)
        except TemplateTimeout:
            if key is not None:
                self._endless_templates.add(key)
            raise

    # --- answers --------------------------------------------------------------------------------

    def generate(self, request: Generate) -> Generation:
        """Answer ``request``; the events raise ``EngineFailure`` if it fails.

        Raises:
            TemplateTimeout: this template has already had to be ended by force.
        """
        key = self._template_key(request)
        self._refuse_endless(key)
        if request.sampling.seed is None:
            # Drawn here, so that a repeated request keeps it.
            seed = random.SystemRandom().randrange(2**31)
            sampling = msgspec.structs.replace(request.sampling, seed=seed)
            request = msgspec.structs.replace(request, sampling=sampling)

        def note_failure(failure: EngineFailure) -> None:
            if isinstance(failure, TemplateTimeout):
                self._endless_templates.add(key)

        return WorkerGeneration(
            self._model_worker.renumber(request), self._model_worker, self._recovery, note_failure
        )

    def _refuse_endless(self, key: _TemplateKey | None) -> None:
        """Do not run a template again that had to be ended by killing its worker.

        Raises:
            TemplateTimeout: this one had to be.
        """
        if key in self._endless_templates:
            raise TemplateTimeout(TEMPLATE_DEADLINE_S)

    def _template_key(self, request: Generate | Count | Warm | ReadPrompt | Judge) -> _TemplateKey:
        spec = self._model_worker.spec
        return (spec.path if spec is not None else "", request.prompt.template)

    async def warm(self, request: Warm) -> Warmed:
        """Read a prompt into the KV cache, so that an answer can begin at once.

        Cancelling the task stops the computation; what was read stays in the cache.

        Raises:
            EngineFailure: the template failed, or an adapter is for another model.
        """
        return await self.request(request)

    async def save_cache(self) -> str:
        """Save what the KV cache holds of the last conversation, where that pays.

        Returns why it could not be saved; an empty text if it was. Cancelling the task stops it.
        """
        return (await self.request(SaveCache(0))).problem

    async def forget(self, conversation: str) -> None:
        """Remove the saved states of a conversation, and save none of it from now on."""
        if self._model_worker.pid is not None:
            with contextlib.suppress(EngineFailure):  # it has nothing left to save
                await self.request(Forget(0, conversation))
        await asyncio.to_thread(forget_conversation, self._snapshots, conversation)

    async def count(self, request: Count) -> int:
        """Tokens of a prompt."""
        return (await self.request(request)).tokens

    async def check_form(self, request: CheckForm) -> None:
        """Check that an answer can have a form.

        Raises:
            EngineFailure: llama.cpp cannot read its grammar.
        """
        await self.request(request)

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        """The tokens of a prompt, as the model reads them.

        Raises:
            EngineFailure: the template failed.
        """
        return await self.request(request)

    # --- likelihoods ----------------------------------------------------------------------------

    async def judge(self, request: Judge) -> Judged:
        """How likely each token of an answer was. Cancelling the task stops it.

        Raises:
            EngineFailure: it is too long, or an adapter is for another model.
        """
        return await self.request(request)

    async def losses(self, ids: list[int], adapters: Sequence[AdapterUse] = ()) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats.

        Raises:
            EngineFailure: more ids than the context holds, or an adapter is for another model.
        """
        return (await self.request(Score(0, ids, list(adapters)))).losses

    async def write_logits(self, ids: list[int], output: Path) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary].

        Raises:
            EngineFailure: more ids than the context holds, or the file cannot be written.
        """
        await self.request(WriteLogits(0, ids, str(output)))

    # --- files ----------------------------------------------------------------------------------

    async def tokenize(self, path: str, text: str) -> list[int]:
        """Ids of ``text`` alone, with the vocabulary of the GGUF file ``path``."""
        return (await self.request(Tokenize(0, path, text))).ids

    async def encode(
        self, path: str, texts: list[str], *, add_special: bool = False
    ) -> list[list[int]]:
        """Ids of each text, with the vocabulary of the GGUF file ``path``; see ``protocol``."""
        return (await self.request(Encode(0, path, texts, add_special))).ids

    async def write_template(self, path: str, prompt: Prompt) -> str:
        """The text that the template of ``prompt``, or of the GGUF file ``path``, makes of it.

        Raises:
            EngineFailure: the template failed, or did not end.
        """
        return (await self.request(WriteTemplate(0, path, prompt))).text

    async def inspect(self, path: str) -> GgufHeader:
        """The header of a GGUF file, checked."""
        return (await self.request(Inspect(0, path))).header

    async def head_length(self, path: str) -> int:
        """Byte at which the weights begin in a GGUF file; 0 if its header cannot be read."""
        try:
            return (await self.inspect(path)).data_offset
        except WorkerDied:
            raise
        except EngineFailure:
            return 0

    async def measure(
        self,
        path: str,
        context: int,
        *,
        gpu_layers: int | None = 0,
        budget: int = 0,
        kv_type: KvType = "f16",
    ) -> Measurement:
        """What loading the model at ``path`` would take; see ``protocol.Measure``.

        Raises:
            EngineFailure: llama.cpp cannot run the file as a model.
        """
        flash = self._attention.flash_pays_so_far()
        request = Measure(0, path, context, gpu_layers, budget, flash, kv_type)
        return (await self.request(request)).measurement

    async def check_adapter(self, path: str, base: str) -> None:
        """Check that the GGUF LoRA at ``path`` is for the model at ``base``.

        Raises:
            EngineFailure: it is not; the message names the tensor and its shapes.
        """
        await self.request(CheckAdapter(0, path, base))

    async def try_model(self, path: str) -> None:
        """Load the model at ``path`` with a short context, and compute a first token with it.

        Raises:
            EngineFailure: it cannot be loaded, or it does not compute.
        """
        await self.load(ModelSpec(path, context=_SHORT_CONTEXT))

    async def diagnose(self) -> Diagnosis:
        """llama.cpp on this machine."""
        return await self.request(Diagnose(0))

    async def unload(self) -> None:
        """Free the memory of the model; the next request starts another worker."""
        await self._model_worker.close()

    async def close(self) -> None:
        """End the worker and its computations."""
        self._recovery.closing = True
        await self._model_worker.close()
