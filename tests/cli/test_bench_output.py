"""The table and the JSON of ``bench``, from figures of machines of every size."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from baize_tui.bench.results import (
    FirstTokens,
    KvSizes,
    Lengths,
    LoadCase,
    PromptLookup,
    Results,
    Speed,
    Speeds,
    ThreadCount,
)
from baize_tui.cli.bench_output import Report, report_json, report_lines
from baize_tui.engine.protocol import Diagnosis, LoadedModel

WIDTH = 80


def results(counts: list[int], scale: float) -> Results:
    """Two rounds; each layer is a tenth slower than the one below, and the second round faster."""

    def speeds(threads: int, part: float) -> Speeds:
        used = threads or max(counts)
        return [
            Speed(10 * part * scale * used * better, part * scale * used * better, used)
            for better in (1.0, 1.2)
        ]

    def case() -> LoadCase:
        layers = {"engine": 0.9, "worker": 0.8, "screen": 0.7}
        return LoadCase(
            [
                ThreadCount(
                    threads,
                    bare_loop=speeds(threads, 1.0) if threads else [],
                    **{layer: speeds(threads, part) for layer, part in layers.items()},
                )
                for threads in (*counts, 0)
            ]
        )

    diagnosis = Diagnosis(0, "0.3.36", "0.5.0-dev", "AVX2 = 1", False, True, 1, 1, [])
    loaded = LoadedModel(
        "/models/m.gguf", 40_000_000_000, "", "llama 70B Q4_K - Medium", 2048, 8192, 128_000, 1, 1,
        gpu_layers=0, tokenizer="", has_template=True, backend="", profile="no-flash-attention",
    )  # fmt: skip
    return Results(
        diagnosis=diagnosis,
        loaded=loaded,
        lengths=Lengths(512, 128, 1024),
        probe=Speed(1.0, 1.0, 1),
        kv_cache=KvSizes(f16=327_680_000, q8_0=174_080_000),
        rounds=2,
        idle=case(),
        busy=case(),
        first_token=FirstTokens(1100, [120.0, 100.0], [0.4, 0.2], [4.0, 1.0], 300_000_000, 1000),
        prompt_lookup=PromptLookup([10.0, 10.0], [12.0, 16.0], guessed=10, accepted=9),
    )


def report(figures: Results) -> Report:
    return Report(
        "0.1.0", "Linux x86_64", "A processor", 64, 128, 512 << 30, "llama-3-70b", figures
    )


def shown(figures: Results) -> str:
    """The table, with single blanks between its columns."""
    lines = list(report_lines(report(figures)))
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(" ".join(line.split()) for line in lines)


def test_the_ratios_of_all_layers() -> None:
    text = shown(results([1, 2], 50.0))
    assert "64 cores, 128 processors, 549.8 GB, Linux x86_64" in text
    assert "writing 128 tokens\n1 thread 55.0 tokens/s 0.90" in text
    assert "2 threads 110.0 tokens/s 0.90 0.80 0.70" in text
    assert "chosen: 2 0.90 0.80 0.70" in text
    assert "writing 128 tokens, one core busy" in text
    assert "warm: the conversation goes on 300 ms 400.0" in text
    assert "restored: the same after a restart 2500 ms 65.0" in text
    assert "1.40 times as fast, 90% of the guesses right" in text
    assert "KV cache 328 MB in f16, 174 MB in q8_0 (0.53 of it)" in text
    assert "saved on disk: 300 MB" in text
    assert "Medians of 2 rounds" in text
    assert "Other programs" not in text


@pytest.mark.parametrize(
    ("counts", "scale"), [([1], 0.01), ([1, 2, 4, 8, 16, 32, 64, 128], 500.0)], ids=["slow", "fast"]
)
def test_the_table_has_80_columns(counts: list[int], scale: float) -> None:
    text = shown(results(counts, scale))
    assert text.count("\n1 thread ") == 4
    assert text.count("\nchosen: ") == 4


def test_what_is_missing_is_said() -> None:
    figures = results([1, 2], 50.0)
    figures.idle.counts[0].screen = []
    figures.first_token.snapshot_bytes = 0
    figures.kv_cache = KvSizes(f16=327_680_000, q8_0=None)
    figures.prompt_lookup = PromptLookup([10.0], [10.0])
    figures.disturbance = 0.4
    text = shown(figures)
    assert "1 thread 55.0 tokens/s 0.90 0.80 -" in text
    assert "KV cache 328 MB in f16, not possible in q8_0" in text
    assert "not saved on disk: reading them again is as fast" in text
    assert "1.00 times as fast, no guesses paid" in text
    assert "took 40% of the processor" in " ".join(text.split())
    figures.prompt_lookup = PromptLookup()
    assert "the model does not repeat a text" in shown(figures)


def test_the_json_has_every_figure_and_the_ratios() -> None:
    encoded = msgspec.json.encode(report_json(report(results([1, 2], 50.0))))
    figures: dict[str, Any] = msgspec.json.decode(encoded)
    assert set(figures) == {
        *("versions", "machine", "model", "rounds", "lengths", "disturbance", "idle"),
        *("one_core_busy", "first_token", "prompt_lookup", "kv_bytes_of_1000_tokens"),
    }
    assert figures["lengths"] == {"prompt": 512, "answer": 128, "history": 1024}
    assert [count["threads"] for count in figures["idle"]] == [1, 2, 0]
    two = figures["idle"][1]
    assert [speed["writing"] for speed in two["bare_loop"]] == [100.0, 120.0]
    assert two["ratios"]["reading"]["screen"] == pytest.approx(0.7)
    assert figures["first_token"]["cold"] == [120.0, 100.0]
    assert figures["kv_bytes_of_1000_tokens"]["saved"] == 300_000_000
