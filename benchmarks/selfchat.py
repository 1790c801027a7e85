"""Self-chat of the small model with itself, compared with one long answer::

    python benchmarks/selfchat.py

The speed of self-chat is the number of written tokens over the whole time of four dialogues,
prompts and both speakers included, with as many dialogues in parallel as the machine allows. It is
compared with one long answer of the same engine, and with one under the grammar of transcripts. All
run in turn; the ratios are medians.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_train.corpus.dialogues import Turn
from baize_train.selfchat.domain_seeds import domain_questions
from baize_train.selfchat.modes import DialogueOptions, RejectedDialogue, two_speakers
from baize_train.selfchat.prompts import TRANSCRIPT_PROMPT, transcript_grammar
from baize_train.speakers.concurrency import run_all
from baize_train.speakers.gguf_speaker import GgufSpeaker, SpeakerOptions, open_gguf_speaker
from baize_train.speakers.speaker import SamplingOptions
from baize_train.speakers.usage import Usage
from baize_tui.paths import project_paths

LEAST, LEAST_WITH_GRAMMAR = 0.9, 0.75
TOPICS_PER_ROUND = 4
STORY = [Turn("user", "Tell me a long story about a dragon and a village.")]


async def plain(speaker: GgufSpeaker, seed: int) -> float:
    """Tokens per second of one long answer."""
    began = time.perf_counter()
    reply = await speaker.reply(STORY, SamplingOptions(max_tokens=300, seed=seed))
    return reply.completion_tokens / (time.perf_counter() - began)


async def with_grammar(speaker: GgufSpeaker, seed: int, topic: str) -> float:
    options = SamplingOptions(max_tokens=300, seed=seed, grammar=transcript_grammar(6))
    began = time.perf_counter()
    reply = await speaker.reply([Turn("user", TRANSCRIPT_PROMPT.format(seed=topic))], options)
    return reply.completion_tokens / (time.perf_counter() - began)


async def dialogues(
    asker: GgufSpeaker, answerer: GgufSpeaker, seed: int, topics: Sequence[str]
) -> float:
    """Tokens per second of whole dialogues, rejected ones included."""
    usage = Usage()
    options = DialogueOptions(turns=4, sampling=SamplingOptions(max_tokens=300, seed=seed))

    async def talk(topic: str) -> None:
        with contextlib.suppress(RejectedDialogue):  # its tokens count all the same
            await two_speakers(asker, answerer, topic, options, usage)

    began = time.perf_counter()
    await run_all(topics, talk, answerer.max_concurrent)
    return usage.completion / (time.perf_counter() - began)


async def measure(rounds: int) -> bool:
    """Print the figures; return whether one misses its limit."""
    asker, answerer = (open_gguf_speaker("smollm2-135m") for _ in range(2))
    single_speaker = GgufSpeaker(
        "alone", answerer.path, project_paths(), SpeakerOptions(max_concurrent=1)
    )
    topics = list(domain_questions("domain:quora"))[: (rounds + 1) * TOPICS_PER_ROUND]
    dialogue_ratios, grammar_ratios = [], []
    try:
        for number in range(rounds + 1):
            some = topics[number * TOPICS_PER_ROUND : (number + 1) * TOPICS_PER_ROUND]
            alone = await plain(single_speaker, number)
            whole = await dialogues(asker, answerer, number, some)
            under = await with_grammar(single_speaker, number, some[0])
            if number:  # the first round warms up
                dialogue_ratios.append(whole / alone)
                grammar_ratios.append(under / alone)
    finally:
        await single_speaker.close()
        await asker.close()
        await answerer.close()
    ratio, with_form = statistics.median(dialogue_ratios), statistics.median(grammar_ratios)
    print(
        f"self-chat over a long answer: {ratio:.2f} "
        f"(median of {len(dialogue_ratios)}; at least {LEAST})"
    )
    print(f"under a grammar: {with_form:.2f} (at least {LEAST_WITH_GRAMMAR})")
    return ratio < LEAST or with_form < LEAST_WITH_GRAMMAR


def main(rounds: Annotated[int, typer.Option(min=1)] = 7) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["BAIZE_HOME"] = home
        missed = asyncio.run(measure(rounds))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
