"""Loading a model on a server and asking it, without a chat around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baize_tui.engine.client import EngineFailure, ModelSpec
from baize_tui.engine.protocol import Delta, Finished, Generate, Prompt, PromptMessage
from baize_tui.engine.remote.remote_engine import RemoteEngine
from tests.engine.remote.streaming_server import StreamingServer

NO_KEYS = Path("/nowhere/server-keys.toml")


def question(text: str = "Why?", **options: Any) -> Generate:
    prompt = options.pop("prompt", None) or Prompt(
        messages=[PromptMessage("system", "Be brief."), PromptMessage("user", text)]
    )
    return Generate(request=0, prompt=prompt, **options)


@dataclass
class Answer:
    """What came of a question."""

    text: str = ""
    """The texts of the deltas, joined as the chat does."""
    reasoning: str = ""
    finished: Finished | None = None
    failure: EngineFailure | None = None
    deltas: list[Delta] = field(default_factory=list)

    def add(self, delta: Delta) -> None:
        self.deltas.append(delta)
        if delta.answer_was_thought:
            self.reasoning, self.text = self.reasoning + self.text, ""
        self.reasoning += delta.reasoning
        self.text += delta.text

    @property
    def line(self) -> str:
        """Why it failed."""
        assert self.failure is not None, f"it was answered: {self.text}"
        return str(self.failure)

    @property
    def end(self) -> Finished:
        assert self.failure is None, str(self.failure)
        assert self.finished is not None
        return self.finished


@asynccontextmanager
async def loaded(
    server: StreamingServer, spec: str = "", keys: Path = NO_KEYS, silence_s: float = 60.0
) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(keys)
    try:
        await engine.load(ModelSpec(spec or server.spec, context=0, server_silence_s=silence_s))
        yield engine
    finally:
        await engine.close()


async def ask(engine: RemoteEngine, request: Generate | None = None) -> Answer:
    answer = Answer()
    try:
        async for event in engine.generate(request or question()):
            if isinstance(event, Delta):
                answer.add(event)
            elif isinstance(event, Finished):
                answer.finished = event
    except EngineFailure as failure:
        answer.failure = failure
    return answer


async def load_failure(spec: str, keys: Path = NO_KEYS, silence_s: float = 60.0) -> str:
    """The line with which loading ``spec`` fails."""
    engine = RemoteEngine(keys)
    try:
        await engine.load(ModelSpec(spec, context=0, server_silence_s=silence_s))
    except EngineFailure as failure:
        return str(failure)
    finally:
        await engine.close()
    raise AssertionError("it was loaded")
