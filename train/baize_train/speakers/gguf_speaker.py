"""A GGUF on this machine, run by the chat client's engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from baize_shared.common_prefix import common_prefix_length
from baize_shared.shipped_models import OWN_TEMPLATE
from baize_shared.split_files import model_bytes
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError, warn
from baize_train.speakers.runnable_model import RunnableModel
from baize_train.speakers.speaker import ErrorKind, RateLimits, Reply, SamplingOptions, SpeakerError
from baize_train.speakers.steady_speaker import SteadySpeaker
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.vocabulary import open_vocabulary
from baize_tui.catalog.finding import find_model, local_file
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.formats import format_named, prompt_from_turns
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.protocol import AdapterUse, Finished, Generate, PromptMessage
from baize_tui.engine.threads.cores import most_threads
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import Sampling

_CONTEXT = 4096
_MEMORY_FRACTION = 1 / 4
"""Of the free memory, for all processes of one speaker together."""
_KINDS: dict[str, ErrorKind] = {"too_long": "request", "template": "template"}
"""A dialogue that is too long fails alone; other failures concern the model."""


@dataclass(frozen=True)
class SpeakerOptions:
    """How a GGUF is prompted and run."""

    format: str = OWN_TEMPLATE
    """A prompt format; by default the model's own template."""
    system: str = ""
    """The system prompt of dialogues without one of their own."""
    moderation: bool = False
    """Whether the format adds its safety instructions."""
    adapters: tuple[Path, ...] = ()
    """GGUF LoRAs that are applied to the model."""
    max_concurrent: int | None = None
    """Processes; None is as many as this machine has room for."""


class GgufSpeaker:
    """One model in one process for each dialogue that runs at the same time.

    A dialogue returns to the process that has read most of it, where the KV cache has its prefix.
    """

    supports_grammars = True
    place = "this machine"
    rate_limits: RateLimits | None = None

    def __init__(
        self, name: str, path: Path, paths: Paths, options: SpeakerOptions | None = None
    ) -> None:
        options = options or SpeakerOptions()
        self.name = name
        self.path = path
        self.max_concurrent = options.max_concurrent or process_count(path)
        self._paths, self._options = paths, options
        self._stop = format_named(options.format).stop
        self._processes: list[_Process] = []
        self._idle = asyncio.Semaphore(self.max_concurrent)

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        request = self._request(messages, options)
        async with self._idle:
            process = self._choose_process(messages)
            process.busy = True
            try:
                return await self._generate(process, messages, request)
            except EngineFailure as error:
                raise SpeakerError(str(error), _KINDS.get(error.kind, "fatal")) from error
            finally:
                process.busy = False

    def _request(self, messages: Sequence[Turn], options: SamplingOptions) -> Generate:
        own_system = messages[0].role == "system"
        prompt = prompt_from_turns(
            self._options.format,
            [PromptMessage(turn.role, turn.content) for turn in messages],
            system="" if own_system else self._options.system,
            moderation=self._options.moderation and not own_system,
            think=False if options.grammar else None,  # a score needs no thought
        )
        return Generate(
            request=0,
            prompt=prompt,
            sampling=Sampling(
                temperature=options.temperature,
                top_p=options.top_p,
                seed=options.seed,
                # Text under a grammar, such as scores, may repeat itself.
                repeat_penalty=1.0 if options.grammar else 1.1,
            ),
            adapters=[AdapterUse(str(file), 1.0) for file in self._options.adapters],
            max_tokens=options.max_tokens,
            stop=[*self._stop, *options.stop],
            trim_at_stop=True,
            grammar=options.grammar,
        )

    async def _generate(
        self, process: _Process, messages: Sequence[Turn], request: Generate
    ) -> Reply:
        if not process.loaded:
            # Processes that start and stop in turn use a fixed count of threads. An automatic
            # count would treat the others as a foreign load after every answer.
            shared = self.max_concurrent > 1
            threads = max(1, most_threads() // self.max_concurrent) if shared else 0
            await process.engine.load(ModelSpec(str(self.path), context=_CONTEXT, threads=threads))
            process.loaded = True
        async for event in process.engine.generate(request):
            if isinstance(event, Finished):
                process.cached = [*messages, Turn("assistant", event.text)]
                return Reply(
                    text=event.text,
                    complete=event.reason == "stop",
                    prompt_tokens=event.stats.prompt_tokens - event.stats.reused_tokens,
                    completion_tokens=event.stats.completion_tokens,
                    thoughts=event.reasoning,
                )
        raise SpeakerError(f"{self.name} gave no answer", "temporary")

    def _choose_process(self, messages: Sequence[Turn]) -> _Process:
        """The idle process that has read most of ``messages``, or a new one."""
        idle = [process for process in self._processes if not process.busy]
        best = max(idle, key=lambda process: process.turns_read(messages), default=None)
        may_add = len(self._processes) < self.max_concurrent
        if best is not None and (best.turns_read(messages) or not may_add):
            return best
        assert may_add, "the semaphore admits no more requests than processes"
        process = _Process(WorkerEngine(self._paths, warn))
        self._processes.append(process)
        return process

    async def close(self) -> None:
        for process in self._processes:
            await process.engine.close()


@dataclass
class _Process:
    """A worker process and the dialogue in its KV cache."""

    engine: WorkerEngine
    loaded: bool = False
    busy: bool = False
    cached: list[Turn] = field(default_factory=list)

    def turns_read(self, messages: Sequence[Turn]) -> int:
        """How many leading turns of ``messages`` are in the cache."""
        return common_prefix_length(self.cached, messages)


def process_count(model: Path) -> int:
    """How many processes of ``model`` this machine has room for: one for each core if all fit in
    a part of the free memory, else one."""
    import psutil

    cores = most_threads()
    room = psutil.virtual_memory().available * _MEMORY_FRACTION
    return cores if model_bytes(model) <= room / cores else 1


def open_gguf_speaker(name: str) -> GgufSpeaker:
    """The model with this name or path as a speaker; an empty name is the default model.

    Raises:
        TrainError: there is no such model on this machine.
    """
    paths = project_paths()
    try:
        model = find_model(name or None, paths)
        file = local_file(model)
    except CatalogError as error:
        raise TrainError(str(error)) from error
    return GgufSpeaker(model.name, file, paths, SpeakerOptions(model.recipe.format or OWN_TEMPLATE))


def open_trained_model(
    name: str, model: RunnableModel, format: str | None, system: str | None
) -> SteadySpeaker:
    """``model`` as a speaker with the prompt of training and of the chat client.

    Raises:
        TrainError: it cannot be opened, or there is no such prompt format.
    """
    with open_vocabulary(model.path) as opened:
        chosen = choose_chat_format(opened, format, system)
    options = SpeakerOptions(
        chosen.name, chosen.system, chosen.moderation, adapters=tuple(model.adapters)
    )
    return SteadySpeaker([GgufSpeaker(name, model.path, project_paths(), options)])
