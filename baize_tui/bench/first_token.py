"""The time to the first token: cold, warm, and after a restart with the saved state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from baize_tui.bench.prompts import Prompts
from baize_tui.bench.results import FirstTokens
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import Delta, Finished, PromptMessage, Stats

_ANSWER = 8
"""Tokens of an answer; only the first is timed."""
_QUESTION = "How far did the knight ride on day {}?"


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, its answer, and the seconds between it and the first token."""

    messages: list[PromptMessage]
    """The whole conversation with the answer."""
    seconds: float
    stats: Stats


async def ask(
    engine: WorkerEngine, prompts: Prompts, before: Sequence[PromptMessage], conversation: str
) -> Turn:
    """Ask one more question in a conversation.

    Raises:
        EngineFailure: the engine failed.
    """
    turns = [*before, PromptMessage("user", _QUESTION.format(len(before)))]
    request = prompts.request(prompts.prompt(turns), _ANSWER, conversation)
    began, seconds = time.perf_counter(), 0.0
    async for event in engine.generate(request):
        if not seconds and isinstance(event, Delta | Finished):
            seconds = time.perf_counter() - began
        if isinstance(event, Finished):
            answer = PromptMessage("assistant", event.text, ids=event.ids)
            return Turn([*turns, answer], seconds, event.stats)
    raise AssertionError("an answer ends with Finished")


async def before_restart(
    engine: WorkerEngine, prompts: Prompts, conversation: str, results: FirstTokens
) -> list[PromptMessage]:
    """Time the first tokens of a new conversation, save its state, and return it.

    Raises:
        EngineFailure: the engine failed.
    """
    cold = await ask(engine, prompts, prompts.history(), conversation)
    results.history_tokens = cold.stats.prompt_tokens
    results.cold.append(cold.seconds)
    warm = await ask(engine, prompts, cold.messages, conversation)
    results.warm.append(warm.seconds)
    # The last token of an answer is not computed.
    results.snapshot_tokens = warm.stats.prompt_tokens + warm.stats.completion_tokens - 1
    await engine.save_cache()
    return warm.messages


async def after_restart(
    engine: WorkerEngine,
    prompts: Prompts,
    conversation: str,
    messages: Sequence[PromptMessage],
    snapshots: Path,
    results: FirstTokens,
) -> None:
    """Time the first token after a restart, and remove the saved state.

    Raises:
        EngineFailure: the engine failed.
    """
    results.snapshot_bytes = sum(file.stat().st_size for file in snapshots.glob("*/*"))
    restored = await ask(engine, prompts, messages, conversation)
    results.restored.append(restored.seconds)
    results.restored_tokens = restored.stats.reused_tokens
    await engine.forget(conversation)
