"""How much faster guessed tokens make an answer that repeats the prompt."""

from __future__ import annotations

import msgspec

from baize_tui.bench.prompts import Prompts
from baize_tui.bench.results import PromptLookup
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import Generate, Stats, TimeAnswer
from baize_tui.settings import Sampling

_LEAST_TOKENS = 8
"""An answer that ends sooner repeats nothing."""
_GREEDY = Sampling(temperature=0, seed=1)
"""The most likely token always, so that both answers are alike."""


async def measure_lookup(engine: WorkerEngine, prompts: Prompts, results: PromptLookup) -> None:
    """Write the same repetition without and with guesses; a model that does not repeat is skipped.

    Raises:
        EngineFailure: the engine failed.
    """
    request = msgspec.structs.replace(
        prompts.request(prompts.repetition(), prompts.lengths.answer), sampling=_GREEDY
    )
    off = await _stats(engine, request)
    on = await _stats(engine, msgspec.structs.replace(request, prompt_lookup=True))
    if min(off.completion_tokens, on.completion_tokens) < _LEAST_TOKENS:
        return
    results.off.append(off.tokens_per_second)
    results.on.append(on.tokens_per_second)
    results.guessed += on.guessed_tokens
    results.accepted += on.accepted_tokens


async def _stats(engine: WorkerEngine, answer: Generate) -> Stats:
    return (await engine.request(TimeAnswer(0, answer))).stats
