"""The figures of ``baize-tui bench``, as JSON and as a table to share."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.counts import count_text
from baize_shared.sizes import size_text
from baize_shared.tables import table
from baize_tui.bench.results import (
    LAYERS,
    FirstTokens,
    LoadCase,
    PromptLookup,
    Results,
    ThreadCount,
    Work,
)

_WORK: tuple[Work, ...] = ("writing", "reading")
_NONE = "-"
_WIDTH = 80
_DISTURBED = 0.05
"""A part of the processor that makes figures rough."""


class Report(Struct, frozen=True):
    """What was measured, on what."""

    baize_tui: str
    """Version of the program."""
    system: str
    processor: str
    fast_cores: int
    processors: int
    """Logical ones that may be used."""
    memory: int
    model: str
    results: Results


# --- JSON ---------------------------------------------------------------------------------------


def report_json(report: Report) -> dict[str, Any]:
    """All figures of all rounds, and the ratios of the table."""
    results = report.results
    loaded, llama = results.loaded, results.diagnosis
    first_token, lookup = results.first_token, results.prompt_lookup
    return {
        "versions": {
            "baize-tui": report.baize_tui,
            "llama-cpp-python": llama.llama_cpp_python,
            "llama.cpp": llama.llama_cpp,
        },
        "machine": {
            "system": report.system,
            "processor": report.processor,
            "fast_cores": report.fast_cores,
            "processors": report.processors,
            "memory": report.memory,
            "cpu_features": llama.system_info,
        },
        "model": {
            "name": report.model,
            "description": loaded.description,
            "bytes": loaded.file_bytes,
            "gpu_layers": loaded.gpu_layers,
            "profile": loaded.profile,
            "flash_attention": loaded.flash_attention,
            "kv_type": loaded.kv_type,
        },
        "rounds": results.rounds,
        "lengths": results.lengths,
        "disturbance": results.disturbance,
        "idle": _load_json(results.idle),
        "one_core_busy": _load_json(results.busy),
        "first_token": {
            **msgspec.structs.asdict(first_token),
            "speedup": {
                "warm": first_token.speedup(first_token.warm),
                "restored": first_token.speedup(first_token.restored),
            },
        },
        "prompt_lookup": {
            **msgspec.structs.asdict(lookup),
            "gain": lookup.gain,
            "hit_rate": lookup.hit_rate,
        },
        "kv_bytes_of_1000_tokens": {
            **msgspec.structs.asdict(results.kv_cache),
            "saved": first_token.saved_bytes_of(1000),
        },
    }


def _load_json(case: LoadCase) -> list[dict[str, Any]]:
    return [
        {
            **msgspec.structs.asdict(count),
            "ratios": {
                work: {layer: case.ratio(count, layer, work) for layer in LAYERS} for work in _WORK
            },
        }
        for count in case.counts
    ]


# --- the table ----------------------------------------------------------------------------------


def report_lines(report: Report) -> Iterator[str]:
    """A table of at most ``_WIDTH`` columns; long names of machines and models may be longer."""
    results = report.results
    yield from _header(report)
    yield ""
    yield from table(list(_speed_rows(results)))
    yield ""
    yield from table(list(_first_token_rows(results.first_token)))
    yield ""
    yield from _lookup_lines(results.prompt_lookup)
    yield from _kv_lines(results)
    yield ""
    yield from wrap(_notes(results), _WIDTH)


def _notes(results: Results) -> str:
    """How to read the table."""
    notes = (
        f"Medians of {count_text(results.rounds, 'round')}. Engine, worker and screen are over "
        "llama.cpp alone with as many threads; the number of threads that the engine chooses is "
        "over the best of them."
    )
    if results.disturbance < _DISTURBED:
        return notes
    share = f"{results.disturbance:.0%}"
    return f"{notes} Other programs took {share} of the processor meanwhile: the figures are rough."


def _header(report: Report) -> Iterator[str]:
    loaded, llama = report.results.loaded, report.results.diagnosis
    attention = "flash attention" if loaded.flash_attention else "plain attention"
    gpu = f"{count_text(loaded.gpu_layers, 'layer')} on the GPU, " if loaded.gpu_layers else ""
    cores = count_text(report.fast_cores, "core")
    if report.processors != report.fast_cores:
        cores += f", {report.processors} processors"
    yield f"machine   {report.processor}"
    yield f"          {cores}, {size_text(report.memory)}, {report.system}"
    yield f"model     {report.model}: {loaded.description}, {size_text(loaded.file_bytes)}"
    yield (
        f"engine    baize-tui {report.baize_tui}, llama-cpp-python {llama.llama_cpp_python}, "
        f"llama.cpp {llama.llama_cpp}"
    )
    yield f"          profile {loaded.profile}, {gpu}{attention}, KV cache in {loaded.kv_type}"


def _speed_rows(results: Results) -> Iterator[Sequence[str]]:
    lengths = results.lengths
    titles = {
        "writing": f"writing {lengths.answer} tokens",
        "reading": f"reading {lengths.prompt} tokens",
    }
    yield "", "llama.cpp alone", *LAYERS
    for case, load in ((results.idle, ""), (results.busy, ", one core busy")):
        for work in _WORK:
            yield f"{titles[work]}{load}", "", "", "", ""
            for count in case.counts:
                yield (
                    f"  {_threads_text(count)}",
                    _bare_text(count, work),
                    *(_ratio_text(case.ratio(count, layer, work)) for layer in LAYERS),
                )


def _bare_text(count: ThreadCount, work: Work) -> str:
    if not count.threads:
        return ""
    speeds = [speed.of(work) for speed in count.bare_loop if speed is not None]
    return f"{statistics.median(speeds):.1f} tokens/s" if speeds else _NONE


def _threads_text(count: ThreadCount) -> str:
    if count.threads:
        return count_text(count.threads, "thread")
    used = [speed.threads for speed in count.worker if speed is not None]
    return f"chosen: {statistics.mode(used)}" if used else "chosen"


def _ratio_text(ratio: float | None) -> str:
    return f"{ratio:.2f}" if ratio is not None else _NONE


def _first_token_rows(first: FirstTokens) -> Iterator[Sequence[str]]:
    yield f"first token after {first.history_tokens} tokens", "time", "times as fast"
    rows = (
        ("cold", first.cold),
        ("warm: the conversation goes on", first.warm),
        ("restored: the same after a restart", first.restored),
    )
    for name, times in rows:
        speedup = first.speedup(times)
        yield (
            f"  {name}",
            f"{statistics.median(times) * 1000:.0f} ms" if times else _NONE,
            f"{speedup:.1f}" if speedup is not None else _NONE,
        )


def _lookup_lines(lookup: PromptLookup) -> Iterator[str]:
    if lookup.gain is None:
        yield "prompt lookup  not measured: the model does not repeat a text"
        return
    hits = f"{lookup.hit_rate:.0%} of the guesses right" if lookup.hit_rate else "no guesses paid"
    yield f"prompt lookup  a repeated text {lookup.gain:.2f} times as fast, {hits}"


def _kv_lines(results: Results) -> Iterator[str]:
    sizes = results.kv_cache
    saved = results.first_token.saved_bytes_of(1000)
    in_q8_0 = "not possible in q8_0"
    if sizes.q8_0 is not None and sizes.f16:
        share = f"{sizes.q8_0 / sizes.f16:.2f} of it"
        in_q8_0 = f"{size_text(round(sizes.q8_0))} in q8_0 ({share})"
    yield f"1,000 tokens   KV cache {size_text(round(sizes.f16))} in f16, {in_q8_0}"
    on_disk = "not saved on disk: reading them again is as fast"
    if saved is not None:
        on_disk = f"saved on disk: {size_text(round(saved))}"
    yield f"               {on_disk}"
