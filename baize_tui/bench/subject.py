"""The model that is measured, and how the engine and the client load it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from baize_tui.bench.home import TemporaryHome
from baize_tui.bench.lengths import CONTEXT
from baize_tui.bench.prompts import SAMPLING, Prompts
from baize_tui.chat.formats import format_of_model
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import LoadedModel
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, IdleSettings, ModelSettings, Settings

CHOSEN = 0
"""The number of threads that the engine chooses itself."""
_SNAPSHOT_BUDGET = 4 << 30


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and where the run keeps its files."""

    path: Path
    recipe_format: str | None
    settings: ModelSettings
    """The person's own: the layers on the GPU and the type of the KV cache are taken from them."""
    home: TemporaryHome
    logs: Path
    """Where the model process of this program writes its log."""
    on_notice: Callable[[str], None]
    """Receives one line when something is switched off because it crashed on this machine."""

    def spec(self, threads: int) -> ModelSpec:
        """How the engine loads the model."""
        return ModelSpec(
            str(self.path),
            context=CONTEXT,
            threads=threads,
            threads_batch=threads,
            gpu_layers=self.settings.gpu_layers,
            kv_type=self.settings.kv_type,
            snapshot_budget=_SNAPSHOT_BUDGET,
        )

    def client_settings(self, prompts: Prompts, threads: int) -> Settings:
        """How the client loads it and answers: in the same way."""
        return Settings(
            model=ModelSettings(
                context=CONTEXT,
                threads=threads,
                threads_batch=threads,
                gpu_layers=self.settings.gpu_layers,
                kv_type=self.settings.kv_type,
                snapshot_gib=0,
            ),
            chat=ChatSettings(
                system="",
                moderation=False,
                format=prompts.format_name,
                max_tokens=prompts.lengths.answer,
                think=False,
                max_thinking_tokens=0,
            ),
            sampling={"seed": SAMPLING.seed},
            idle=IdleSettings(work="never"),  # what is read ahead could not be timed
        )

    def format_name(self, loaded: LoadedModel) -> str:
        """The prompt format, as a chat chooses it."""
        return format_of_model(self.recipe_format, loaded)


@contextlib.asynccontextmanager
async def engine_for(subject: Subject) -> AsyncIterator[WorkerEngine]:
    """A model process without a model, which ends with the block."""
    files = subject.home.paths
    paths = Paths(files.config, files.data, files.cache, subject.logs)
    engine = WorkerEngine(paths, subject.on_notice)
    try:
        yield engine
    finally:
        await engine.close()
