"""Whether a model fits: the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.catalog.fit import Fit, Machine, judge_fit, this_machine, tokens_per_second
from baize_tui.footprint import Device, Footprint, Measurement

GB = 10**9


def footprint(total: float, *, repacked: float = 0, on_gpu: float = 0) -> Footprint:
    return Footprint(
        weights=int((total - repacked) * GB),
        repacked=int(repacked * GB),
        kv=0,
        compute=0,
        program=0,
        on_devices={"GPU0": int(on_gpu * GB)} if on_gpu else {},
    )


@pytest.mark.parametrize(
    ("taken", "fit"),
    [
        (footprint(5), "fits"),
        (footprint(9.5), "tight"),
        (footprint(11), "does not fit"),
        # Weights that were repacked need not stay in memory twice.
        (footprint(11, repacked=2), "tight"),
        (footprint(11, repacked=5), "fits"),
        (footprint(1, on_gpu=3), "fits"),
        (footprint(1, on_gpu=5), "does not fit"),
    ],
)
def test_what_is_free_decides(taken: Footprint, fit: Fit) -> None:
    gpu = Device("GPU0", "a card", "gpu", 4 * GB, 8 * GB)
    assert judge_fit(taken, Machine(16 * GB, 10 * GB, 100 * GB, [gpu])) == fit


def measured(read: int, kv: int, gpu_layers: int = 0) -> Measurement:
    taken = Footprint(weights=read, repacked=0, kv=kv, compute=0, program=0)
    return Measurement(taken, 4096, 4096, 32, gpu_layers, 4096, read, 10 * GB)


def test_the_speed_is_that_of_the_memory() -> None:
    quick, slow = tokens_per_second(measured(GB, 0)), tokens_per_second(measured(4 * GB, 0))
    assert quick is not None
    assert slow is not None
    assert quick == pytest.approx(4 * slow)
    with_context = tokens_per_second(measured(4 * GB, 2 * GB))
    assert with_context is not None
    assert with_context < slow
    assert tokens_per_second(measured(0, 0, gpu_layers=33)) is None


def test_this_machine_has_memory_and_a_disk(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "not" / "there" / "yet")
    assert 0 < machine.budget < machine.memory_free <= machine.memory_total
    assert machine.disk_free > 0
