"""What models cost, asked of an engine that may not start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from baize_tui.app.services.model_plans import PlanFailure, plan_models
from baize_tui.catalog.adapters import AdapterRecipe, CatalogAdapter
from baize_tui.catalog.recipes import CatalogModel, Recipe
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from tests.chat.scripted_engine import model


async def test_each_model_has_a_reason_if_no_engine_can_start(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = str(tmp_path / "no python here")
    monkeypatch.setattr(sys, "executable", python)
    file = tmp_path / "scripted.gguf"
    file.touch()
    models = [model(str(file), name) for name in ("first", "second")]
    results = [result async for result in plan_models(models, paths, Settings())]
    assert [result.name for result in results if isinstance(result, PlanFailure)] == [
        "first",
        "second",
    ]
    assert all(python in r.reason for r in results if isinstance(r, PlanFailure))


async def test_a_model_or_an_adapter_whose_file_is_gone_is_a_reason(
    paths: Paths, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.gguf")
    recipe = Recipe(file=gone)
    entries: list[CatalogModel | CatalogAdapter] = [
        CatalogModel("listed", Path(gone), recipe),
        CatalogModel("known", None, recipe),
        CatalogModel("demo", None, Recipe(package="no_such_package", file="m.gguf")),
        CatalogAdapter("lora", None, AdapterRecipe(file=gone)),
    ]
    results = [result async for result in plan_models(entries, paths, Settings())]
    reasons = [result.reason for result in results if isinstance(result, PlanFailure)]
    assert len(reasons) == len(entries)
    for reason, named in zip(reasons, (gone, gone, "no-such-package", gone), strict=True):
        assert named in reason
