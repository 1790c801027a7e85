"""What a model would take, compared with what llama.cpp takes when it is loaded."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest

from baize_convert.merge import merge
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.measuring import GPU_MARGIN, most_layers
from baize_tui.engine.protocol import Finished, Generate
from baize_tui.footprint import Device
from baize_tui.paths import Paths
from tests.convert.model_folders import random_folder
from tests.engine.test_llama_engine import GREEDY, STORY
from tests.sweeps import swept

WIDE: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
"""A LLaMA whose columns are blocks of K-quants."""


async def real_memory(engine: WorkerEngine, spec: ModelSpec) -> int:
    """Bytes that the worker holds once it has answered."""
    await engine.load(spec)
    request = Generate(0, STORY, GREEDY, max_tokens=32)
    async for event in engine.generate(request):
        finished = isinstance(event, Finished)
    assert finished
    assert engine.worker_pid is not None
    return int(psutil.Process(engine.worker_pid).memory_info().rss)


@pytest.mark.parametrize(
    ("outtype", "context"),
    swept(
        product(("Q4_1", "Q4_0", "Q4_K_M", "Q8_0"), (2048, 8192)),
        ("Q4_1", 2048),
    ),
)
async def test_the_estimate_is_what_the_real_model_takes(
    outtype: str,
    context: int,
    smollm2: Path,
    smollm2_folder: Path,
    paths: Paths,
    tmp_path: Path,
) -> None:
    file = smollm2
    if outtype != "Q4_1":
        file = tmp_path / f"{outtype}.gguf"
        merge(plan_conversion(smollm2_folder, [], parse_outtype(outtype)), file)
    engine = WorkerEngine(paths)
    try:
        estimated = (await engine.measure(str(file), context)).footprint.resident
        await engine.close()  # a fresh process holds nothing else
        taken = await real_memory(engine, ModelSpec(str(file), context=context))
    finally:
        await engine.close()
    assert 0.9 < estimated / taken < 1.1


async def test_the_estimate_needs_the_header_alone(paths: Paths, tmp_path: Path) -> None:
    wide = random_folder(tmp_path / "wide", **WIDE)
    plan = plan_conversion(wide, [], parse_outtype("Q4_K_M"))
    head, whole = tmp_path / "head.gguf", tmp_path / "whole.gguf"
    with head.open("wb") as file:
        file.write(plan.layout.head)
        file.truncate(plan.layout.length)
    merge(plan, whole)
    engine = WorkerEngine(paths)
    try:
        before = (await engine.measure(str(head), 2048)).footprint
        after = (await engine.measure(str(whole), 2048)).footprint
    finally:
        await engine.close()
    assert (before.weights, before.repacked, before.kv, before.compute) == (
        after.weights,
        after.repacked,
        after.kv,
        after.compute,
    )
    # 3 layers, 4 heads of keys and of values, 64 numbers of 2 bytes, 2,048 tokens.
    assert before.kv == 3 * 2 * 4 * 64 * 2 * 2048


async def test_the_largest_context_is_the_last_that_fits(smollm2: Path, paths: Paths) -> None:
    engine = WorkerEngine(paths)
    try:
        small = await engine.measure(str(smollm2), 1024)
        budget = small.footprint.needed + 40_000_000
        measured = await engine.measure(str(smollm2), 1024, budget=budget)
        largest = measured.largest_context
        assert 1024 < largest < 8192
        at = await engine.measure(str(smollm2), largest)
        beyond = await engine.measure(str(smollm2), largest + 512)
        assert (await engine.measure(str(smollm2), 1024, budget=1)).largest_context == 0
    finally:
        await engine.close()
    assert at.footprint.needed <= budget + 2_000_000  # the program itself varies a little
    assert beyond.footprint.needed > budget - 2_000_000


async def test_a_file_that_is_no_model_is_named(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "text.gguf"
    file.write_text("hello")
    engine = WorkerEngine(paths)
    try:
        with pytest.raises(EngineFailure, match="not a GGUF"):
            await engine.measure(str(file), 1024)
        assert await engine.head_length(str(file)) == 0
    finally:
        await engine.close()


# --- layers on a GPU: the rule, as no GPU can be counted on ---------------------------------------

GPUS = [
    Device("CPU", "a processor", "cpu", 10**12, 10**12),
    Device("GPU0", "a card", "gpu", 1000 + GPU_MARGIN, 2000),
    Device("GPU1", "a smaller card", "gpu", 500 + GPU_MARGIN, 2000),
]


def test_as_many_layers_go_to_the_gpus_as_fit_on_each() -> None:
    assert most_layers(33, GPUS[:2], lambda layers: {"GPU0": 100 * layers}) == 10
    assert most_layers(33, GPUS[:2], lambda layers: {"GPU0": layers}) == 33
    assert most_layers(33, GPUS[:2], lambda layers: {"GPU0": 2000} if layers else {}) == 0
    both = most_layers(33, GPUS, lambda layers: {"GPU0": 50 * layers, "GPU1": 50 * layers})
    assert both == 10
