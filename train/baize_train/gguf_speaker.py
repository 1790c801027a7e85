"""A GGUF on this machine, through the engine of the chat client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from baize_train.base_vocabulary import chat_format, open_vocabulary
from baize_train.dialogues import Turn
from baize_train.failures import TrainError
from baize_train.runnable_model import RunnableModel
from baize_train.speakers import Reply, SpeakerFailed, Wish
from baize_tui.catalog.recipes import CatalogError, find_model
from baize_tui.chat.formats import OWN_TEMPLATE, format_named, prompt_of
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.protocol import AdapterUse, Finished, Generate, PromptMessage
from baize_tui.paths import project_paths
from baize_tui.settings import Sampling

_CONTEXT = 4096


class GgufSpeaker:
    """One model in a process of its own; one dialogue after the other, so that the cache serves."""

    at_once = 1
    heeds_grammars = True

    def __init__(
        self,
        name: str,
        path: Path,
        log: Path,
        format: str | None = None,
        adapters: Sequence[Path] = (),
        system: str = "",
        *,
        moderation: bool = False,
    ) -> None:
        """``adapters`` are GGUF LoRAs that are laid over the model; ``system`` is what it is told
        where a dialogue does not say it."""
        self.name = name
        self._path = path
        self._engine = WorkerEngine(log)
        self._format = format or OWN_TEMPLATE
        self._stop = format_named(self._format).stop
        self._adapters = [AdapterUse(str(file), 1.0) for file in adapters]
        self._system, self._moderation = system, moderation
        self._lock = asyncio.Lock()
        self._loaded = False

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
        async with self._lock:
            try:
                if not self._loaded:
                    await self._engine.load(ModelSpec(str(self._path), context=_CONTEXT))
                    self._loaded = True
                async for event in self._engine.generate(request):
                    if isinstance(event, Finished):
                        return Reply(
                            text=event.text,
                            whole=event.reason == "stop",
                            prompt_tokens=event.stats.prompt_tokens - event.stats.reused_tokens,
                            completion_tokens=event.stats.completion_tokens,
                        )
            except EngineFailure as error:
                # A dialogue that is too long is this one's fault, all else the model's.
                raise SpeakerFailed(str(error), again=error.kind == "too_long") from error
        raise SpeakerFailed(f"{self.name} said nothing", again=True)

    async def close(self) -> None:
        await self._engine.close()


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
    return GgufSpeaker(model.name, model.path, paths.worker_log, model.recipe.format)


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
        project_paths().worker_log,
        told.name,
        model.adapters,
        told.system,
        moderation=told.moderation,
    )
