"""The figures of ``baize-tui bench``, as JSON and as a table to share."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.sizes import size_text
from baize_shared.tables import table
from baize_tui.app.line_breaks import has_ideographs, line_ends
from baize_tui.bench.results import (
    LAYERS,
    FirstTokens,
    LoadCase,
    PromptLookup,
    Results,
    ThreadCount,
    Work,
)
from baize_tui.measures import cells, count_text, list_text, padded
from baize_tui.translation import msg, tr

_WORK: tuple[Work, ...] = ("writing", "reading")
_NONE = "-"
_WIDTH = 80
_DISTURBED = 0.05
"""A part of the processor that makes figures rough."""
NOTES = msg(
    "Medians of {rounds}. Engine, worker and screen are over llama.cpp alone with as many threads; "
    "the number of threads that the engine chooses is over the best of them."
)
ROUGH = msg(
    "{notes} Other programs took {share} of the processor meanwhile: the figures are rough."
)
RIGHT_GUESSES = msg("a repeated text {times} times as fast, {share} of the guesses right")
NO_GUESSES = msg("a repeated text {times} times as fast, no guesses paid")
KV_CACHE = msg("KV cache {f16} in f16, {q8_0} in q8_0 ({share} of it)")
WRITING, READING = msg("writing {count} tokens"), msg("reading {count} tokens")
_LAYERS = {"engine": msg("engine"), "worker": msg("worker"), "screen": msg("screen")}


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
    yield from table(list(_speed_rows(results)), cells)
    yield ""
    yield from table(list(_first_token_rows(results.first_token)), cells)
    yield ""
    yield from _lookup_lines(results.prompt_lookup)
    yield from _kv_lines(results)
    yield ""
    yield from _wrapped(_notes(results))


def _wrapped(text: str) -> Iterator[str]:
    if not has_ideographs(text):
        yield from wrap(text, _WIDTH)
        return
    ends = line_ends(text, _WIDTH)
    for begin, end in zip([0, *ends], [*ends, None], strict=True):
        yield text[begin:end].rstrip()


def _notes(results: Results) -> str:
    """How to read the table."""
    rounds = count_text(results.rounds, "round")
    if results.disturbance < _DISTURBED:
        return tr(NOTES, rounds=rounds)
    return tr(ROUGH, notes=tr(NOTES, rounds=rounds), share=f"{results.disturbance:.0%}")


def _header(report: Report) -> Iterator[str]:
    loaded, llama = report.results.loaded, report.results.diagnosis
    cores = [count_text(report.fast_cores, "core")]
    if report.processors != report.fast_cores:
        cores.append(count_text(report.processors, "processor"))
    programs = {
        "baize-tui": report.baize_tui,
        "llama-cpp-python": llama.llama_cpp_python,
        "llama.cpp": llama.llama_cpp,
    }
    run = [tr("profile {name}", name=loaded.profile)]
    if loaded.gpu_layers:
        run.append(tr("{layers} on the GPU", layers=count_text(loaded.gpu_layers, "layer")))
    run.append(tr("flash attention") if loaded.flash_attention else tr("plain attention"))
    run.append(tr("KV cache in {type}", type=loaded.kv_type))
    model = [loaded.description, size_text(loaded.file_bytes)]
    yield _header_line(tr("machine"), report.processor)
    yield _header_line("", list_text([*cores, size_text(report.memory), report.system]))
    yield _header_line(tr("model"), f"{report.model}: {', '.join(model)}")
    yield _header_line(tr("engine"), ", ".join(f"{name} {v}" for name, v in programs.items()))
    yield _header_line("", list_text(run))


def _header_line(label: str, text: str) -> str:
    return f"{padded(label, 9)} {text}"


def _speed_rows(results: Results) -> Iterator[Sequence[str]]:
    lengths = results.lengths
    titles = {
        "writing": tr(WRITING, count=lengths.answer),
        "reading": tr(READING, count=lengths.prompt),
    }
    yield "", tr("llama.cpp alone"), *(tr(_LAYERS[layer]) for layer in LAYERS)
    for case in (results.idle, results.busy):
        for work in _WORK:
            title = titles[work]
            if case is results.busy:
                title = tr("{work}, one core busy", work=title)
            yield title, "", "", "", ""
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
    return tr("{speed} tokens/s", speed=f"{statistics.median(speeds):.1f}") if speeds else _NONE


def _threads_text(count: ThreadCount) -> str:
    if count.threads:
        return count_text(count.threads, "thread")
    used = [speed.threads for speed in count.worker if speed is not None]
    return tr("chosen: {count}", count=statistics.mode(used)) if used else tr("chosen")


def _ratio_text(ratio: float | None) -> str:
    return f"{ratio:.2f}" if ratio is not None else _NONE


def _first_token_rows(first: FirstTokens) -> Iterator[Sequence[str]]:
    title = tr("first token after {count} tokens", count=first.history_tokens)
    yield title, tr("time"), tr("times as fast")
    rows = (
        (tr("cold"), first.cold),
        (tr("warm: the conversation goes on"), first.warm),
        (tr("restored: the same after a restart"), first.restored),
    )
    for name, times in rows:
        speedup = first.speedup(times)
        yield (
            f"  {name}",
            f"{statistics.median(times) * 1000:.0f} ms" if times else _NONE,
            f"{speedup:.1f}" if speedup is not None else _NONE,
        )


def _lookup_lines(lookup: PromptLookup) -> Iterator[str]:
    label = tr("prompt lookup")
    if lookup.gain is None:
        yield _last_line(label, tr("not measured: the model does not repeat a text"))
        return
    times = f"{lookup.gain:.2f}"
    if lookup.hit_rate:
        yield _last_line(label, tr(RIGHT_GUESSES, times=times, share=f"{lookup.hit_rate:.0%}"))
    else:
        yield _last_line(label, tr(NO_GUESSES, times=times))


def _last_line(label: str, text: str) -> str:
    return f"{padded(label, 14)} {text}"


def _kv_lines(results: Results) -> Iterator[str]:
    sizes = results.kv_cache
    saved = results.first_token.saved_bytes_of(1000)
    f16 = size_text(round(sizes.f16))
    if sizes.q8_0 is not None and sizes.f16:
        q8_0, share = size_text(round(sizes.q8_0)), f"{sizes.q8_0 / sizes.f16:.2f}"
        kv_cache = tr(KV_CACHE, f16=f16, q8_0=q8_0, share=share)
    else:
        kv_cache = tr("KV cache {f16} in f16, not possible in q8_0", f16=f16)
    yield _last_line(tr("1,000 tokens"), kv_cache)
    if saved is not None:
        yield _last_line("", tr("saved on disk: {size}", size=size_text(round(saved))))
    else:
        yield _last_line("", tr("not saved on disk: reading them again is as fast"))
