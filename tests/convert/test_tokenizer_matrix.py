"""Every family of tokenizers with every change that people make: exact, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.tokenizer_families import FAMILIES, Family
from tests.convert.tokenizer_matrix import (
    PAGE,
    STEPS,
    VARIANTS,
    Change,
    Variant,
    table_rows,
    try_step,
    try_variant,
)
from tests.sweeps import swept

FAMILIES_BY_NAME = {family.name: family for family in FAMILIES}
VARIANTS_BY_NAME = {variant.name: variant for variant in VARIANTS}
CELLS = [(family, variant) for family in FAMILIES_BY_NAME for variant in VARIANTS_BY_NAME]
ALWAYS = [("LLaMA 2, all files", "ChatML's tokens"), ("GPT-2", "BOS and EOS")]


@pytest.mark.vocabularies
@pytest.mark.parametrize(("family", "variant"), swept(CELLS, *ALWAYS))
def test_a_cell_of_the_page(family: str, variant: str, tmp_path: Path) -> None:
    made: tuple[Family, Variant] = FAMILIES_BY_NAME[family], VARIANTS_BY_NAME[variant]
    cell = str(try_variant(*made, tmp_path))
    assert cell.startswith(("exact", "refused: "))
    cells = table_rows(PAGE.read_text("utf-8"), "families")[family]
    assert cell == cells[list(VARIANTS_BY_NAME).index(variant)]


@pytest.mark.vocabularies
@pytest.mark.parametrize(("name", "family", "change"), STEPS, ids=[name for name, *_ in STEPS])
@pytest.mark.sweep
def test_a_step_of_the_page(name: str, family: Family, change: Change, tmp_path: Path) -> None:
    (shown,) = table_rows(PAGE.read_text("utf-8"), "steps")[name]
    assert str(try_step(family, change, tmp_path)).replace("|", r"\|") == shown
