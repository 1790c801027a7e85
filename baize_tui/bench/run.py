"""The whole run: a first look at the speed, then rounds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from baize_tui.bench.disturbance import measured_disturbance
from baize_tui.bench.lengths import PROBE_ANSWER, PROBE_PROMPT, Effort, choose_lengths
from baize_tui.bench.machine import thread_counts
from baize_tui.bench.prompts import Prompts, count_note_tokens
from baize_tui.bench.results import KvSizes, Lengths, LoadCase, Results, Speed, ThreadCount
from baize_tui.bench.rounds import Round, Steps
from baize_tui.bench.speeds import Limits, through_bare_loop
from baize_tui.bench.subject import CHOSEN, Subject, engine_for
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.engine.threads.cores import most_threads
from baize_tui.settings import KvType
from baize_tui.translation import tr

_LONG = 3.0
"""llama.cpp alone stops writing after this many times the time that an answer should take."""
_LEAST_LONG_S = 1.0
_PROBE_S = 10.0
"""How long a first look may take, unless it is the last chance."""
_KV_CONTEXT = 4096
_KV_TOKENS = 1000


async def run_bench(
    subject: Subject, effort: Effort, show: Callable[[str, float], None]
) -> Results:
    """Measure ``subject``; ``show`` receives what is measured, and how much is done, 0 to 1.

    Raises:
        EngineFailure: the model cannot be loaded, or the engine failed.
        BenchError: an answer ended too soon, or the client does not answer.
    """
    began = time.monotonic()
    show(tr("loading"), 0.0)
    async with engine_for(subject) as engine:
        results = await _first_look(engine, subject, effort)
        format_name = subject.format_name(results.loaded)
        note_tokens = await count_note_tokens(engine, format_name)
    prompts = Prompts(format_name, results.lengths, note_tokens)
    steps = Steps(show)
    one_round = Round(subject, prompts, results, steps, max(_LONG * effort.write_s, _LEAST_LONG_S))
    steps.total = effort.rounds * one_round.steps
    longest = 0.0
    with measured_disturbance() as disturbance:
        while results.rounds < effort.rounds:
            round_began = time.monotonic()
            if results.rounds and round_began - began + longest > effort.most_s:
                break
            await one_round.measure()
            longest = max(longest, time.monotonic() - round_began)
    results.disturbance = disturbance.share
    return results


async def _first_look(engine: WorkerEngine, subject: Subject, effort: Effort) -> Results:
    """The results without rounds: how long the texts are, and the sizes of the KV cache."""
    diagnosis = await engine.diagnose()
    loaded = await engine.load(subject.spec(CHOSEN))
    probe = await _probe(engine)
    counts = [*thread_counts(), CHOSEN]
    return Results(
        diagnosis=diagnosis,
        loaded=loaded,
        lengths=choose_lengths(effort, probe.reading, probe.writing, loaded.n_ctx),
        probe=probe,
        kv_cache=await _kv_sizes(engine, subject),
        idle=LoadCase([ThreadCount(count) for count in counts]),
        busy=LoadCase([ThreadCount(count) for count in counts]),
    )


async def _probe(engine: WorkerEngine) -> Speed:
    """The speed of llama.cpp alone with a good number of threads.

    That are all fast cores or, where others use some of them, half as many, or one.
    """
    lengths, most = Lengths(PROBE_PROMPT, PROBE_ANSWER, 0), most_threads()
    limits = Limits(_LEAST_LONG_S, _PROBE_S)
    speeds = [
        await through_bare_loop(engine, lengths, threads, limits)
        for threads in (most, most // 2)
        if threads
    ]
    measured = [speed for speed in speeds if speed is not None]
    if not measured:
        patient = Limits(_LEAST_LONG_S, None)
        alone = await through_bare_loop(engine, lengths, 1, patient)
        assert alone is not None
        return alone
    return max(measured, key=lambda speed: speed.writing)


async def _kv_sizes(engine: WorkerEngine, subject: Subject) -> KvSizes:
    q8_0 = None
    with contextlib.suppress(EngineFailure):  # as with heads whose size is no multiple of 32
        q8_0 = await _kv_bytes(engine, subject, "q8_0")
    return KvSizes(await _kv_bytes(engine, subject, "f16"), q8_0)


async def _kv_bytes(engine: WorkerEngine, subject: Subject, kv_type: KvType) -> float:
    """Bytes that 1,000 tokens take in the KV cache."""
    measured = await engine.measure(str(subject.path), _KV_CONTEXT, kv_type=kv_type)
    return measured.footprint.kv * _KV_TOKENS / measured.n_ctx
