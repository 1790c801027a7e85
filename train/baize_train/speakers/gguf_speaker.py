"""A GGUF on this machine, through the engine of the chat client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from baize_shared.common_prefix import common_prefix_length
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError, warn
from baize_train.speakers.runnable_model import RunnableModel
from baize_train.speakers.speaker import Reply, SpeakerFailed, Wish
from baize_train.tokens.vocabulary import chat_format, open_vocabulary
from baize_tui.catalog.recipes import CatalogError, find_model
from baize_tui.chat.formats import OWN_TEMPLATE, format_named, prompt_of
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.cores import most_threads
from baize_tui.engine.protocol import AdapterUse, Finished, Generate, PromptMessage
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import Sampling

_CONTEXT = 4096
_PART_OF_MEMORY = 4
"""All processes of a speaker together take no more of the free memory than this part."""


class GgufSpeaker:
    """One model in processes of its own, one for each dialogue that goes on at once.

    A dialogue comes back to the process that has read most of it, so that the cache there serves.
    """

    heeds_grammars = True

    def __init__(
        self,
        name: str,
        path: Path,
        paths: Paths,
        format: str | None = None,
        adapters: Sequence[Path] = (),
        system: str = "",
        *,
        moderation: bool = False,
        at_once: int | None = None,
    ) -> None:
        """``adapters`` are GGUF LoRAs that are laid over the model; ``system`` is what it is told
        where a dialogue does not say it. ``at_once`` None is as many as this machine bears."""
        self.name = name
        self.at_once = at_once or streams_of(path)
        self.path, self._paths = path, paths
        self._slots: list[_Slot] = []
        self._free = asyncio.Semaphore(self.at_once)
        self._format = format or OWN_TEMPLATE
        self._stop = format_named(self._format).stop
        self._adapters = [AdapterUse(str(file), 1.0) for file in adapters]
        self._system, self._moderation = system, moderation

    async def say(self, messages: Sequence[Turn], wish: Wish) -> Reply:
        has_own = messages[0].role == "system"
        prompt = prompt_of(
            self._format,
            [PromptMessage(turn.role, turn.content) for turn in messages],
            system="" if has_own else self._system,
            moderation=self._moderation and not has_own,
        )
        request = Generate(
            request=0,
            prompt=prompt,
            sampling=Sampling(
                temperature=wish.temperature,
                top_p=wish.top_p,
                seed=wish.seed,
                # Scores repeat themselves, and are to.
                repeat_penalty=1.0 if wish.grammar else 1.1,
            ),
            adapters=self._adapters,
            max_tokens=wish.max_tokens,
            stop=[*self._stop, *wish.stop],
            trim_at_stop=True,
            grammar=wish.grammar,
        )
        async with self._free:
            slot = self._slot_for(messages)
            slot.busy = True
            try:
                if not slot.loaded:
                    # Processes that start and stop in turn share by a fixed count at once; left
                    # to themselves each would take the others for neighbours after every answer.
                    threads = max(1, most_threads() // self.at_once) if self.at_once > 1 else 0
                    spec = ModelSpec(str(self.path), context=_CONTEXT, threads=threads)
                    await slot.engine.load(spec)
                    slot.loaded = True
                async for event in slot.engine.generate(request):
                    if isinstance(event, Finished):
                        slot.heard = [*messages, Turn("assistant", event.text)]
                        return Reply(
                            text=event.text,
                            whole=event.reason == "stop",
                            prompt_tokens=event.stats.prompt_tokens - event.stats.reused_tokens,
                            completion_tokens=event.stats.completion_tokens,
                        )
            except EngineFailure as error:
                # A dialogue that is too long is this one's fault, all else the model's.
                raise SpeakerFailed(str(error), again=error.kind == "too_long") from error
            finally:
                slot.busy = False
        raise SpeakerFailed(f"{self.name} said nothing", again=True)

    def _slot_for(self, messages: Sequence[Turn]) -> _Slot:
        """Of those that are free the one that knows most of ``messages``."""
        free = [slot for slot in self._slots if not slot.busy]
        known = max(free, key=lambda slot: slot.knows(messages), default=None)
        if known is not None and (known.knows(messages) or len(self._slots) == self.at_once):
            return known
        if len(self._slots) < self.at_once:
            known = _Slot(WorkerEngine(self._paths, warn))
            self._slots.append(known)
        assert known is not None
        return known

    async def close(self) -> None:
        for slot in self._slots:
            await slot.engine.close()


@dataclass
class _Slot:
    """A process with the model, and the dialogue that lies in its cache."""

    engine: WorkerEngine
    loaded: bool = False
    busy: bool = False
    heard: list[Turn] = field(default_factory=list)

    def knows(self, messages: Sequence[Turn]) -> int:
        """How many turns of ``messages`` it has read already."""
        return common_prefix_length(self.heard, messages)


def streams_of(path: Path) -> int:
    """How many dialogues a model can write at once here: reading and writing leave cores idle, and
    a small model has room for one process a core."""
    import psutil

    room = psutil.virtual_memory().available // _PART_OF_MEMORY
    return most_threads() if path.stat().st_size <= room // most_threads() else 1


def gguf_named(spec: str) -> GgufSpeaker:
    """The speaker ``local:NAME`` or ``local:PATH``.

    Raises:
        TrainError: there is no such model on this machine.
    """
    paths = project_paths()
    try:
        model = find_model(spec.removeprefix("local:") or None, paths)
    except CatalogError as error:
        raise TrainError(str(error)) from error
    assert model.path is not None
    return GgufSpeaker(model.name, model.path, paths, model.recipe.format)


def speaker_of(
    name: str, model: RunnableModel, format: str | None, system: str | None
) -> GgufSpeaker:
    """``model``, told what it is told in training and by the chat client.

    Raises:
        TrainError: it cannot be opened, or has no such prompt format.
    """
    with open_vocabulary(model.path) as vocabulary:
        told = chat_format(vocabulary, format, system)
    return GgufSpeaker(
        name,
        model.path,
        project_paths(),
        told.name,
        model.adapters,
        told.system,
        moderation=told.moderation,
    )
