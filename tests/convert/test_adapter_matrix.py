"""Every kind of adapter merges as in PEFT, or is refused by name: ``docs/adapter-matrix.md``."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.convert.adapter_kinds import MADE, REFUSED
from tests.convert.adapter_matrix import PAGE, Cell, judge, unpack_material
from tests.made_once import made_once
from tests.sweeps import swept

ALWAYS = (
    "… ranks by keys that PEFT sorted",
    "… ranks by regexes and anchors",
    "initialized by MiCA",
    "both, saved and tied by PEFT",
    "trained tokens, others in the head",
    "… the embedding, saved",
    "… both, saved",
    "… trained tokens",
    "names of FSDP, checkpointing, DDP, torch.compile",
    "in the folder checkpoint-500",
    *REFUSED,
)
"""Kinds that every run merges, over both bases as folders."""


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "adapter-kinds", unpack_material)


@pytest.mark.sampled(26)
@pytest.mark.parametrize(
    ("kind", "tied"),
    swept(product((*MADE, *REFUSED), (True, False)), *product(ALWAYS, (True, False))),
)
def test_a_kind_is_exact_or_refused_by_name(
    kind: str, tied: bool, material: Path, tmp_path: Path
) -> None:
    cell = Cell(kind, tied, "folder")
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {kind} |"))
    assert judge(cell, material, tmp_path / "out.gguf") == row.split(" | ")[1 if tied else 4]


@pytest.mark.parametrize("kind", ["… both, saved", "… trained tokens", "LoRA of both"])
def test_over_a_gguf_the_merge_is_the_same(kind: str, material: Path, tmp_path: Path) -> None:
    for tied in (True, False):
        assert judge(Cell(kind, tied, "GGUF"), material, tmp_path / "out.gguf") == "exact"


def make_page(output: Path, *options: str) -> str:
    command = [sys.executable, "-m", "tests.convert.adapter_matrix", "--output", str(output)]
    subprocess.run([*command, *options], check=True)
    return output.read_text()


@pytest.mark.sweep
def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """Folders, GGUF files and the hub, with the adapters in the golden files."""
    assert make_page(tmp_path / "page.md", "--goldens") == PAGE.read_text()


@pytest.mark.sweep
@pytest.mark.training
def test_the_peft_that_is_installed_gives_the_same_page(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    assert make_page(tmp_path / "page.md") == PAGE.read_text()
