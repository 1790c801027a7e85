"""What guessed tokens gain: prompt lookup and a draft model, each over plain decoding::

    python benchmarks/guessing.py
    python benchmarks/guessing.py --part lookup

The model has 1.2 billion parameters and writes what SmolLM2 135M writes
(``benchmarks/widened_model.py``); SmolLM2 itself is the draft model. There are two tasks, both at
temperature 0:

- ``repeat``: a text is to be repeated with one word changed;
- ``prose``: a story, in which nothing repeats.

Each round answers with and without guesses in turn; the ratios of the speeds are medians. The ids
of the answers have to be the same up to the rounding of batches, so the output says at which token
they part.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_shared.common_prefix import common_prefix_length
from baize_tui.bench.machine import processor_name
from baize_tui.catalog.finding import find_model
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Generate, Load, Prompt, PromptMessage, Warm
from baize_tui.paths import project_paths
from baize_tui.settings import Sampling
from benchmarks.widened_model import widened_model

LEAST_ON_REPEATED, LEAST_ON_PROSE = 1.5, 0.97
ROUNDS = 5
TEXT = (
    "The old lighthouse stood on the cliff above the town. Every evening the keeper climbed the "
    "stairs and lit the lamp. Ships passed far out, and their crews saw the light. In winter the "
    "storms came, and the sea broke over the rocks below. The keeper wrote down the weather, the "
    "names of the ships, and the hours of the fog. Nobody read his book, but he wrote it every day."
)
CHANGED = TEXT.replace("town", "village")
REPEAT = Prompt(
    [
        PromptMessage("user", f"{TEXT}\n\nRepeat this text, with 'village' instead of 'town'."),
        PromptMessage("assistant", CHANGED),
        PromptMessage("user", f"{TEXT}\n\nOnce more, with 'harbour' instead of 'town'."),
    ]
)
PROSE = Prompt([PromptMessage("user", "Write a long story about a dragon and a knight.")])
TASKS: dict[str, tuple[Prompt, int]] = {"repeat": (REPEAT, 100), "prose": (PROSE, 200)}
Guesser = Literal["lookup", "draft", "both", ""]


def answer(engine: LlamaEngine, task: str, guesser: Guesser) -> Finished:
    prompt, tokens = TASKS[task]
    for _ in engine.warm(Warm(0, prompt)):
        pass
    request = Generate(
        0,
        prompt,
        Sampling(temperature=0),
        max_tokens=tokens,
        prompt_lookup=guesser in ("lookup", "both"),
        use_draft=guesser in ("draft", "both"),
    )
    *_, finished = engine.generate(request)
    assert isinstance(finished, Finished)
    return finished


def compare(engine: LlamaEngine, task: str, guesser: Guesser) -> float:
    """Print and return the speed with ``guesser`` over that without."""
    ratios: list[float] = []
    plain = guessed = answer(engine, task, guesser)  # costs are learned in the first answer
    for _ in range(ROUNDS):
        plain, guessed = answer(engine, task, ""), answer(engine, task, guesser)
        ratios.append(guessed.stats.tokens_per_second / plain.stats.tokens_per_second)
    same = common_prefix_length(plain.ids, guessed.ids)
    difference = "the same ids" if same == len(plain.ids) else f"other ids from token {same} on"
    stats, ratio = guessed.stats, statistics.median(ratios)
    print(
        f"{guesser} on {task}: {ratio:.2f} times the speed ({min(ratios):.2f} to "
        f"{max(ratios):.2f}), {plain.stats.tokens_per_second:.0f} tokens/s without; "
        f"{stats.accepted_tokens} of {stats.guessed_tokens} guesses right in "
        f"{stats.completion_tokens} tokens; {difference}"
    )
    return ratio


def main(
    part: Annotated[list[str] | None, typer.Option(help="lookup, draft or both.")] = None,
    model: Annotated[Path | None, typer.Option(help="Another GGUF to write the answers.")] = None,
    threads: Annotated[int, typer.Option(help="A fixed count; 0 adapts to the load.")] = 0,
) -> None:
    small = find_model(None, project_paths()).path
    assert small is not None
    print(f"{processor_name()}, {os.cpu_count()} cores")
    large = model or widened_model(small)
    load = Load(0, str(large), threads=threads, threads_batch=threads, draft=str(small))
    engine = LlamaEngine(load, AbortFlag())
    engine.warm_up()
    assert not engine.loaded.draft_problem, engine.loaded.draft_problem
    met = True
    guessers: tuple[Guesser, ...] = ("lookup", "draft", "both")
    for guesser in guessers:
        if part is None or guesser in part:
            met &= compare(engine, "repeat", guesser) >= LEAST_ON_REPEATED
            met &= compare(engine, "prose", guesser) >= LEAST_ON_PROSE
    engine.close()
    raise typer.Exit(0 if met else 1)


if __name__ == "__main__":
    typer.run(main)
