"""Tokens/s through the worker over the binding's bare decode loop, side by side::

    python benchmarks/decode.py

The bare loop is ``llama_decode`` and a greedy sampler on the low-level binding, nothing else. Both
run the same prompt with the same threads, in turn; the ratio of each pair counts, the median is
given.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import llama_cpp.llama_cpp as lib

from baize_tui.catalog.recipes import find_model
from baize_tui.engine.bindings import Model
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import Delta, Finished, Generate, Prompt, PromptMessage
from baize_tui.paths import project_paths
from baize_tui.settings import Sampling

TOKENS = 160
PAIRS = 9
LOWEST = 0.95
SYSTEM = "You are a helpful AI assistant."
QUESTION = "Write a very long story about a dragon and a knight."


class BareLoop:
    """What the binding alone does with one token after the other."""

    def __init__(self, path: str, threads: int) -> None:
        self._model = Model(path)
        params = lib.llama_context_default_params()
        params.n_ctx = 2048
        params.n_threads = params.n_threads_batch = threads
        self._context = lib.llama_init_from_model(self._model.handle, params)
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
        self._chain = chain
        text = (
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
            "<|im_start|>assistant\n"
        )
        self._prompt = self._model.vocabulary.tokenize(text, parse_special=True)

    def tokens_per_second(self) -> float:
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        tokens = (lib.llama_token * len(self._prompt))(*self._prompt)
        lib.llama_decode(self._context, lib.llama_batch_get_one(tokens, len(tokens)))
        one = (lib.llama_token * 1)()
        one[0] = lib.llama_sampler_sample(self._chain, self._context, -1)
        started = time.perf_counter()
        for _ in range(TOKENS - 1):
            lib.llama_decode(self._context, lib.llama_batch_get_one(one, 1))
            one[0] = lib.llama_sampler_sample(self._chain, self._context, -1)
        return (TOKENS - 1) / (time.perf_counter() - started)


async def worker_tokens_per_second(engine: WorkerEngine) -> float:
    """As the client sees it: from the first text to the end."""
    prompt = Prompt([PromptMessage("system", SYSTEM), PromptMessage("user", QUESTION)])
    request = Generate(0, prompt, Sampling(temperature=0), max_tokens=TOKENS)
    first = 0.0
    async for event in engine.generate(request):
        if isinstance(event, Delta) and not first:
            first = time.perf_counter()
        if isinstance(event, Finished):
            assert event.stats.completion_tokens == TOKENS, "the story ended early"
            return (TOKENS - 1) / (time.perf_counter() - first)
    raise AssertionError("no end")


async def compare(path: str, threads: int) -> float:
    bare = BareLoop(path, threads)
    engine = WorkerEngine(project_paths())
    await engine.load(ModelSpec(path, context=2048, threads=threads, threads_batch=threads))
    pairs = []
    for number in range(PAIRS + 1):
        alone = bare.tokens_per_second()
        through = await worker_tokens_per_second(engine)
        if number:  # the first pair warms up
            pairs.append((alone, through))
    await engine.close()
    ratio = statistics.median(through / alone for alone, through in pairs)
    alone, through = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{threads} thread(s): worker {through:6.1f} tokens/s, bare loop {alone:6.1f} tokens/s, "
        f"ratio {ratio:.3f} (median of {PAIRS} pairs; at least {LOWEST})"
    )
    return ratio


def main() -> int:
    model = find_model(None, project_paths())
    ratios = [
        asyncio.run(compare(str(model.path), threads))
        for threads in (1, 2)
        if threads <= (os.cpu_count() or 1)
    ]
    return 0 if min(ratios) >= LOWEST else 1


if __name__ == "__main__":
    sys.exit(main())
