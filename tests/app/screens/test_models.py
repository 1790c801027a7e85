"""The list of models: what it shows, pulls, imports and removes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from baize_tui.app.screens.dialogs import ConfirmDialog, LineDialog
from baize_tui.app.screens.model_import import PathDialog
from baize_tui.app.screens.models import ModelsScreen
from baize_tui.app.screens.picker import Picker
from baize_tui.app.services.model_plans import PlanFailure
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.finding import known_models
from baize_tui.catalog.plans import AdapterPlan, Plan
from baize_tui.catalog.recipes import (
    CatalogError,
    CatalogModel,
    NoModelInstalled,
    Recipe,
    recipe_file,
    write_recipe,
)
from baize_tui.paths import Paths
from baize_tui.settings import load_settings
from tests.app.forms import close
from tests.app.model_list import details, find, notice_text, open_models, plan_of, row_of
from tests.app.pilot import RunApp, ScriptedPulls, ask, client, is_open, notices, shown, status
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until
from tests.engine.gguf_kinds import other_files


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans without a process that measures; tests of the planner run one."""

    async def plan_models(
        models: Sequence[CatalogModel | CatalogAdapter], paths: Paths, settings: object
    ) -> AsyncGenerator[Plan, None]:
        for model in models:
            if isinstance(model, CatalogAdapter):
                yield AdapterPlan(
                    name=model.name,
                    installed=model.installed,
                    base=model.recipe.base,
                    has_base=model.recipe.base is None,
                    license="",
                    download=17 * 10**6,
                    bytes=34 * 10**6,
                )
            else:
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
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the terms")
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
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the terms")
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
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "tinyllama-1.1b"), "the progress")
        await pilot.press("delete")
        await wait_until(lambda: pulls.ended, "its end")
        await wait_until(lambda: "not downloaded" in row_of(models, "tinyllama-1.1b"), "the row")
        assert "pulling it again resumes" in notice_text(models)
        pulls.failure = "the hub cannot be reached"
        pulls.go_on.set()
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        await pilot.press("enter")
        await wait_until(lambda: "the hub cannot be reached" in notices(pilot), "the reason")
        await close(pilot)


def choices(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


def dialog_text(pilot: Pilot[int]) -> str:
    return " ".join(str(text.render()) for text in pilot.app.screen.query(Static))


async def type_path(pilot: Pilot[int], path: Path | str) -> None:
    """Press F6 and give a path."""
    await pilot.press("f6")
    await wait_until(lambda: is_open(pilot, PathDialog), "the question")
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")


async def test_a_file_is_imported_and_removed(
    run_app: RunApp, paths: Paths, smollm2: Path, tmp_path: Path
) -> None:
    file = tmp_path / "my  mine.gguf"
    file.symlink_to(smollm2)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await type_path(pilot, f"'{file}'")
        await wait_until(lambda: is_open(pilot, Picker), "the picker")
        await wait_until(lambda: "copy the file (98 MB)" in "".join(choices(pilot)), "the choices")
        await pilot.press("enter")
        await wait_until(lambda: "my-mine is ready" in notice_text(models), "the import")
        assert "scripted stays the default; f7 changes that" in notice_text(models)
        assert "98 MB" in row_of(models, "my-mine")
        await pilot.press("f7")
        await wait_until(lambda: "answers in new conversations" in notice_text(models), "f7")
        assert load_settings(paths.settings_file).model.default == "my-mine"
        await pilot.press("delete")
        assert "press del again" in notice_text(models)
        await pilot.press("delete")
        await wait_until(lambda: "removed my-mine" in notice_text(models), "the removal")
        assert not row_of(models, "my-mine")
        assert file.exists()
        await close(pilot)


async def test_a_wrong_path_is_said_at_once_and_can_be_corrected(
    run_app: RunApp, tmp_path: Path, smollm2: Path
) -> None:
    kinds = other_files(tmp_path / "kinds")
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await type_path(pilot, tmp_path / "gone.gguf")
        await wait_until(lambda: "gone.gguf: no such file" in dialog_text(pilot), "the reason")
        question = pilot.app.screen.query_one(Input)
        for name in ("bert", "mmproj-model-f16"):
            file, named = kinds[name]
            question.value = str(file)
            await pilot.press("enter")
            await wait_until(lambda text=named: text in dialog_text(pilot), named)
        question.value = str(smollm2)
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, Picker), "the picker")
        await pilot.press("escape")
        await wait_until(lambda: pilot.app.screen is models, "the models")
        await close(pilot)


async def test_a_name_that_is_taken_is_asked_for(
    run_app: RunApp, tmp_path: Path, smollm2: Path
) -> None:
    file = tmp_path / "smollm2-135m.gguf"
    file.symlink_to(smollm2)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await type_path(pilot, file)
        await wait_until(lambda: is_open(pilot, Picker), "the picker")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, LineDialog), "the name")
        assert "smollm2-135m exists already" in dialog_text(pilot)
        await pilot.press("enter")
        await wait_until(lambda: "smollm2-135m-2 is ready" in notice_text(models), "the import")
        await close(pilot)


async def test_a_model_is_added_by_its_name_on_the_hub(
    run_app: RunApp, pulls: ScriptedPulls, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hub_model(name: str) -> CatalogModel:
        return CatalogModel("plum", None, Recipe(repository="hf:a/b", file="plum.gguf"))

    monkeypatch.setattr("baize_tui.catalog.hub_models.hub_model", hub_model)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await type_path(pilot, "hf:a/b")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        assert "Licence: not stated" in dialog_text(pilot)
        assert not recipe_file("plum", paths).exists()
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "plum"), "the progress")
        assert recipe_file("plum", paths).exists()
        pulls.go_on.set()
        await wait_until(lambda: "fits" in row_of(models, "plum"), "the model")
        await type_path(pilot, "hf:a/b")
        await wait_until(lambda: "plum is ready" in notice_text(models), "the same model")
        await close(pilot)


async def test_a_name_on_the_hub_can_be_typed_into_the_search(
    run_app: RunApp, pulls: ScriptedPulls, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hub_model(name: str) -> CatalogModel:
        asked.append(name)
        if name.endswith("nothing"):
            raise CatalogError(f"{name} has no model")
        return CatalogModel("plum", None, Recipe(repository="hf:a/b", file="plum.gguf"))

    monkeypatch.setattr("baize_tui.catalog.hub_models.hub_model", hub_model)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await pilot.press(*"hf:a/nothing", "enter")
        await wait_until(lambda: "has no model" in notice_text(models), "the reason")
        models.query_one(Input).value = "hf:a/b:Q4_K_M"
        await wait_until(lambda: "licence before the download" in details(models), "the hint")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        assert asked[-1] == "hf:a/b:Q4_K_M"
        assert "of memory" in dialog_text(pilot)
        assert "Licence: not stated" in dialog_text(pilot)
        assert not recipe_file("plum", paths).exists()
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "plum"), "the progress")
        pulls.go_on.set()
        await wait_until(lambda: "fits" in row_of(models, "plum"), "the model")
        await close(pilot)


async def test_nothing_is_pulled_before_its_size_fit_and_licence_were_shown(
    run_app: RunApp, pulls: ScriptedPulls
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "mistral-7b")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        said = dialog_text(pilot)
        for text in ("13.0 GB to download", "4.0 GB on disk", "of memory", ": fits", "Licence:"):
            assert text in said
        await pilot.press("escape")
        await wait_until(lambda: pilot.app.screen is models, "the models")
        assert client(pilot).state.pulls.part("mistral-7b") is None
        await close(pilot)


async def test_the_cost_of_an_adapter_is_shown(run_app: RunApp, plum: str) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, plum)
        await pilot.press("f5")
        await wait_until(lambda: "34 MB of memory beside" in details(models), "the cost")
        await find(pilot, models, "baize-v1-7b-lora")
        await pilot.press("f5")
        await wait_until(lambda: "17 MB to download, 34 MB on disk" in details(models), "the cost")
        assert "llama-7b has to be pulled first" in details(models)
        await pilot.press("enter")
        await wait_until(lambda: "not downloaded yet: pull" in notice_text(models), "why")
        await close(pilot)


async def test_a_long_reason_is_shown_to_its_end(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = f"hf:owner/name: the hub cannot be reached, or fails ({'word ' * 60}): try again later"

    async def fail(models: Sequence[CatalogModel], *_: object) -> AsyncGenerator[PlanFailure, None]:
        for model in models:
            yield PlanFailure(model.name, reason)

    monkeypatch.setattr("baize_tui.app.services.model_plans.plan_models", fail)
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "mistral-7b")
        await pilot.press("f5")
        await wait_until(lambda: "the hub cannot be reached" in notice_text(models), "the reason")
        await pilot.pause()
        notice = models.query_one("#notice", Static)
        lines = [notice.render_line(y).text for y in range(notice.size.height)]
        assert "try again later" in " ".join(lines)
        assert notice.region.bottom <= models.size.height
        await close(pilot)


async def test_without_a_model_one_is_got_from_inside(
    run_app: RunApp, pulls: ScriptedPulls, paths: Paths
) -> None:
    def find_model(name: str | None) -> CatalogModel:
        for known in known_models(paths):
            if known.name == name and known.path is not None:
                return known
        raise NoModelInstalled

    engine = ScriptedEngine("Yes.")
    async with run_app(engine, find_model=find_model) as pilot:
        welcome = " ".join(shown(pilot).split())
        assert "There is no model yet." in welcome
        assert "alt+m lists models with their size, their licence" in welcome
        assert "baize-tui models" not in welcome
        models = await open_models(pilot)
        row = " ".join(row_of(models, "llama-3.2-3b").split())
        assert "≈ 1.9 GB ↓" in row
        assert "Llama 3.2 Community" in row
        await find(pilot, models, "llama-3.2-3b")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the cost")
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "llama-3.2-3b"), "the progress")
        await close(pilot)
        pulls.go_on.set()
        await wait_until(lambda: "llama-3.2-3b · " in status(pilot), "the model")
        assert "There is no model" not in shown(pilot)
        await ask(pilot, "Hi", "Yes.")


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
        await wait_until(lambda: is_open(pilot, ModelsScreen), "the models")
        options = pilot.app.screen.query_one(OptionList)
        assert options.option_count >= 1
        await pilot.press(*"zzz")
        await wait_until(lambda: options.option_count == 0, "no match")
        await close(pilot)


async def test_pages_are_turned(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        options = (await open_models(pilot)).query_one(OptionList)
        await wait_until(lambda: options.size.height > 0, "the layout")
        page = options.size.height
        assert options.option_count > page
        await pilot.press("pagedown")
        assert options.highlighted == page - 1 or options.highlighted == page
        await pilot.press("pageup")
        assert options.highlighted == 0
        await close(pilot)
