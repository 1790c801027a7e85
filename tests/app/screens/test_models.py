"""The list of models: what it shows, pulls, imports and removes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from baize_tui.app.screens.dialogs import ConfirmDialog, LineDialog
from baize_tui.app.screens.models import ModelsScreen
from baize_tui.app.screens.picker import Picker
from baize_tui.catalog.planner import ModelPlan
from baize_tui.catalog.recipes import CatalogModel, Recipe, write_recipe
from baize_tui.paths import Paths
from tests.app.forms import close
from tests.app.model_list import details, find, notice_text, open_models, plan_of, row_of
from tests.app.pilot import (
    RunApp,
    ScriptedPulls,
    ask,
    notices,
    status,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans without a process that measures; tests of the planner run one."""

    async def plan_models(
        models: Sequence[CatalogModel], paths: Paths, settings: object
    ) -> AsyncGenerator[ModelPlan, None]:
        for model in models:
            yield plan_of(model.name, installed=model.installed)

    monkeypatch.setattr("baize_tui.app.services.model_plans.plan_models", plan_models)


async def test_the_list_shows_installed_models_known_models_and_what_fits(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await wait_until(lambda: "fits" in row_of(models, "smollm2-135m"), "what fits")
        assert "98 MB" in row_of(models, "smollm2-135m")
        assert "Apache-2.0" in row_of(models, "smollm2-135m")
        assert "not downloaded" in row_of(models, "baize-v1-7b")
        await find(pilot, models, "baize-v1-7b")
        assert "For research only" in details(models)
        assert "hf:project-baize/baize-lora-7B" in details(models)
        await pilot.press("f5")
        await wait_until(lambda: "13.0 GB to download" in details(models), "the cost")
        assert "4.0 GB ↓ fits" in " ".join(row_of(models, "baize-v1-7b").split())
        assert "up to 6144 tokens fit" in details(models)
        await find(pilot, models, "baize-healthcare-7b")
        assert "no medical advice" in details(models)
        await close(pilot)


async def test_a_model_is_pulled_while_the_chat_continues(
    run_app: RunApp, pulls: ScriptedPulls
) -> None:
    async with run_app(ScriptedEngine("Yes."), size=(140, 30)) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "baize-v2-7b")
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, ConfirmDialog), "the terms")
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "baize-v2-7b"), "the progress")
        await close(pilot)
        await wait_until(lambda: "pulling baize-v2-7b 25%" in status(pilot), "the status")
        await ask(pilot, "Hi", "Yes.")
        pulls.go_on.set()
        await wait_until(lambda: "pulling" not in status(pilot), "the end")
        models = await open_models(pilot)
        await wait_until(lambda: "fits" in row_of(models, "baize-v2-7b"), "what was pulled")
        await find(pilot, models, "baize-v2-7b")
        await pilot.press("enter")
        await wait_until(lambda: "baize-v2-7b" in status(pilot), "the model")


async def test_without_accepted_terms_nothing_is_pulled(
    run_app: RunApp, pulls: ScriptedPulls
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "baize-v2-7b")
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, ConfirmDialog), "the terms")
        await pilot.press("escape")
        await wait_until(lambda: pilot.app.screen is models, "the models")
        assert "not downloaded" in row_of(models, "baize-v2-7b")
        await close(pilot)


async def test_a_pull_is_stopped_or_fails_with_one_line(
    run_app: RunApp, pulls: ScriptedPulls
) -> None:
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "tinyllama-1.1b")
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "tinyllama-1.1b"), "the progress")
        await pilot.press("delete")
        await wait_until(lambda: pulls.ended, "its end")
        await wait_until(lambda: "not downloaded" in row_of(models, "tinyllama-1.1b"), "the row")
        assert "pulling it again resumes" in notice_text(models)
        pulls.failure = "the hub cannot be reached"
        pulls.go_on.set()
        await pilot.press("enter")
        await wait_until(lambda: "the hub cannot be reached" in notices(pilot), "the reason")
        await close(pilot)


async def test_a_file_is_imported_and_removed(
    run_app: RunApp, paths: Paths, smollm2: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.gguf"
    file.symlink_to(smollm2)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await pilot.press("f6")
        await wait_until(lambda: isinstance(pilot.app.screen, LineDialog), "the question")
        pilot.app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "the picker")
        await pilot.press("enter")
        await wait_until(lambda: "mine is ready" in notice_text(models), "the import")
        assert "98 MB" in row_of(models, "mine")
        await find(pilot, models, "mine")
        await pilot.press("delete")
        assert "press del again" in notice_text(models)
        await pilot.press("delete")
        await wait_until(lambda: "removed mine" in notice_text(models), "the removal")
        assert not row_of(models, "mine")
        assert file.exists()
        await pilot.press("f6")
        await wait_until(lambda: isinstance(pilot.app.screen, LineDialog), "the question")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "gone.gguf")
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "the picker")
        await pilot.press("enter")
        await wait_until(lambda: "gone.gguf: No such file" in notice_text(models), "the reason")
        await close(pilot)


async def test_a_model_in_use_is_not_removed(run_app: RunApp, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    write_recipe("scripted", Recipe(file=str(file)), paths)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "scripted")
        await pilot.press("delete")
        assert "scripted is in use" in notice_text(models)
        await close(pilot)


async def test_models_are_searched_by_typing_and_escape_closes(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+m")
        await wait_until(lambda: isinstance(pilot.app.screen, ModelsScreen), "the models")
        options = pilot.app.screen.query_one(OptionList)
        assert options.option_count >= 1
        await pilot.press(*"zzz")
        await wait_until(lambda: options.option_count == 0, "no match")
        await close(pilot)
