"""Answers of several models or adapters, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.app.screens.picker import Picker
from baize_tui.app.screens.side_by_side import Column, SideBySide
from baize_tui.catalog.adapters import AdapterRecipe, find_adapter, write_adapter_recipe
from baize_tui.paths import Paths
from tests.app.forms import close
from tests.app.pilot import RunApp, catalog, screen, shown, status, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_two_models_answer_one_question_side_by_side(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    engine = ScriptedEngine("Blue ", "plums.")
    async with run_app(engine) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await pilot.press(*"What", "alt+v")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "the picker")
        await pilot.press(*"plum", "enter")
        await wait_until(lambda: isinstance(pilot.app.screen, SideBySide), "both")

        def columns() -> list[str]:
            return [column.text for column in pilot.app.screen.query(Column)]

        await wait_until(lambda: columns() == ["Blue plums.", "Blue plums."], "both answers")
        seeds = {request.sampling.seed for request in engine.requests}
        assert len(seeds) == 1
        assert None not in seeds
        assert [len(request.adapters) for request in engine.requests] == [0, 1]
        await close(pilot)
        await wait_until(lambda: texts(pilot) == ["What", "Blue plums."], "the conversation")
        await wait_until(lambda: "2/2" in shown(pilot), "the branches")
        assert screen(pilot).prompt.text == ""


async def test_every_training_step_answers_the_same_question(
    run_app: RunApp, paths: Paths, tmp_path: Path, plum: str
) -> None:
    """The base model, with the first adapter, and with the second over it."""
    second = tmp_path / "plum-sdf.gguf"
    second.write_bytes(b"weights")
    write_adapter_recipe("plum-sdf", AdapterRecipe(file=str(second), over=plum), paths)
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await pilot.press(*"What", "alt+v")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "the picker")
        await pilot.press(*"every", "enter")
        await wait_until(lambda: isinstance(pilot.app.screen, SideBySide), "all three")

        def columns() -> list[str]:
            return [column.text for column in pilot.app.screen.query(Column)]

        await wait_until(lambda: columns() == ["Yes."] * 3, "three answers")
        names = [column.answerer.label for column in pilot.app.screen.query(Column)]
        assert names == ["scripted", "scripted + plum", "scripted + plum + plum-sdf"]
        assert [len(request.adapters) for request in engine.requests] == [0, 1, 2]
        await close(pilot)
        await wait_until(lambda: "3/3" in shown(pilot), "they stay as branches")


async def test_nothing_to_compare_is_reported(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.catalog.recipes.importlib.util.find_spec", lambda name: None)
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+v")
        await wait_until(lambda: "no other model or adapter" in status(pilot), "the reason")
