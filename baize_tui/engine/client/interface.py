"""What an engine is to the rest of the program; tests have one without a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct

from baize_tui.engine.protocol import (
    CheckForm,
    Count,
    Delta,
    Finished,
    Generate,
    Judge,
    Judged,
    LoadedModel,
    Prefilling,
    PromptRead,
    ReadPrompt,
    ThreadsChosen,
    Warm,
    Warmed,
)
from baize_tui.settings import KvType

GenerationEvent = Prefilling | ThreadsChosen | Delta | Finished


class ModelSpec(Struct, frozen=True):
    """What to load and how; the fields of ``protocol.Load``, and those for servers."""

    path: str
    """A GGUF file, or ``server:URL#model``."""
    context: int = 4096
    threads: int = 0
    threads_batch: int = 0
    gpu_layers: int | None = 0
    device: str = ""
    all_logits: bool = False
    kv_type: KvType = "f16"
    draft: str = ""
    snapshot_budget: int = 0
    server_silence_s: float = 300.0
    """How long a server may send nothing."""


class Generation(Protocol):
    """An answer that is being generated: an async iterator of events that can be stopped."""

    def __aiter__(self) -> AsyncIterator[GenerationEvent]: ...

    def cancel(self) -> None:
        """Stop the computation; what was generated stays, and ``Finished("cancelled")`` follows."""


class Engine(Protocol):
    """What ``chat`` needs of an engine."""

    on_notice: Callable[[str], None]
    """Receives one line when something is switched off because it crashed on this machine."""

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel: ...

    def generate(self, request: Generate) -> Generation: ...

    async def count(self, request: Count) -> int: ...

    async def check_form(self, request: CheckForm) -> None:
        """Check that an answer can have a form.

        Raises:
            EngineFailure: its grammar is wrong, or the server takes none.
        """
        ...

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        """The tokens of a prompt, as the model reads them.

        Raises:
            EngineFailure: the template failed, or a server reads it.
        """
        ...

    async def judge(self, request: Judge) -> Judged:
        """How likely each token of an answer was. Cancelling the task stops it.

        Raises:
            EngineFailure: it is too long, an adapter is for another model, or a server has it.
        """
        ...

    async def warm(self, request: Warm) -> Warmed:
        """Read a prompt into the KV cache. Cancelling the task stops it at once."""
        ...

    async def save_cache(self) -> str:
        """Save what the KV cache holds, where that pays; returns why it could not be saved, or an
        empty text. Cancelling the task stops it at once."""
        ...

    async def forget(self, conversation: str) -> None:
        """Remove the saved states of a conversation."""
        ...

    async def close(self) -> None: ...


class LocalEngine(Engine, Protocol):
    """An engine for models on this computer."""

    async def unload(self) -> None:
        """Free the memory of the model, unless somebody else uses it."""
        ...
