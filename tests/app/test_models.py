"""The models screen: what is here and fits, pulls beside the chat, adapters, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from baize_tui.app.dialogs import ConfirmDialog, LineDialog
from baize_tui.app.models_screen import ModelsScreen
from baize_tui.app.picker import Picker
from baize_tui.app.side_by_side import Column, SideBySide
from baize_tui.catalog.adapters import AdapterRecipe, find_adapter, write_adapter_recipe
from baize_tui.catalog.fit import Fit
from baize_tui.catalog.planner import Cost, ModelPlan
from baize_tui.catalog.pull_records import PullRecord, write_record
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain, Recipe, write_recipe
from baize_tui.footprint import Footprint, Measurement
from baize_tui.paths import Paths
from tests.app.looking import RunApp, ask, client, screen, shown, status, texts
from tests.app.test_options import close, open_conversation_options, row
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until

GB = 10**9


def plan_of(name: str, fit: Fit = "fits", *, here: bool = True) -> ModelPlan:
    taken = Footprint(weights=GB, repacked=0, kv=GB // 2, compute=10**7, program=5 * 10**7)
    return ModelPlan(
        name=name,
        installed=here,
        cost=Cost() if here else Cost(4 * GB, 13 * GB),
        bytes=4 * GB,
        measured=Measurement(taken, 4096, 8192, 32, 0, 6144, GB, 10.0 * GB),
        fit=fit,
        tokens_per_second=7.5,
        enough_disk=True,
    )


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans without a process that measures: what it finds is tested where it is made."""

    async def plans_of(
        models: Sequence[CatalogModel], paths: Paths, settings: object
    ) -> AsyncGenerator[tuple[str, ModelPlan | str], None]:
        for model in models:
            yield model.name, plan_of(model.name, here=model.installed)

    monkeypatch.setattr("baize_tui.app.model_plans.plans_of", plans_of)


async def open_models(pilot: Pilot[int]) -> ModelsScreen:
    await pilot.press("alt+m")
    await wait_until(lambda: isinstance(pilot.app.screen, ModelsScreen), "the models")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")
    found = pilot.app.screen
    assert isinstance(found, ModelsScreen)
    return found


def rows(models: ModelsScreen) -> list[str]:
    options = models.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


def row_of(models: ModelsScreen, name: str) -> str:
    return next((row for row in rows(models) if row.split()[:1] == [name]), "")


def said(models: ModelsScreen) -> str:
    return str(models.query_one("#said", Static).render())


def details(models: ModelsScreen) -> str:
    return " ".join(str(models.query_one("#details", Static).render()).split())


async def find(pilot: Pilot[int], models: ModelsScreen, name: str) -> None:
    models.query_one(Input).value = name
    await wait_until(lambda: rows(models)[:1] and rows(models)[0].split()[0] == name, name)


@pytest.fixture
def pulls(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> dict[str, Any]:
    """Pulls that go on as the test says."""
    held: dict[str, Any] = {"go_on": asyncio.Event(), "why": "", "ended": False}

    async def pull_in_process(name: str, report: Callable[[int, int], object]) -> Path:
        try:
            report(1, 4)
            await held["go_on"].wait()
        finally:
            held["ended"] = True
        if held["why"]:
            raise CatalogError(held["why"])
        file = paths.models_folder / f"{name}.gguf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")
        write_record(name, PullRecord(str(file), 7, "hf:a/b", {}, 0.0), paths)
        return file

    monkeypatch.setattr("baize_tui.app.background_pulls.pull_in_process", pull_in_process)
    return held


async def test_it_shows_what_is_here_what_fits_and_what_there_is(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await wait_until(lambda: "fits" in row_of(models, "smollm2-135m"), "what fits")
        assert "98 MB" in row_of(models, "smollm2-135m")
        assert "Apache-2.0" in row_of(models, "smollm2-135m")
        assert "not here" in row_of(models, "baize-v1-7b")
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


async def test_a_model_is_pulled_while_the_chat_goes_on(
    run_app: RunApp, pulls: dict[str, Any]
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
        pulls["go_on"].set()
        await wait_until(lambda: "pulling" not in status(pilot), "the end")
        models = await open_models(pilot)
        await wait_until(lambda: "fits" in row_of(models, "baize-v2-7b"), "what was pulled")
        await find(pilot, models, "baize-v2-7b")
        await pilot.press("enter")
        await wait_until(lambda: "baize-v2-7b" in status(pilot), "the model")


async def test_terms_that_are_not_accepted_pull_nothing(
    run_app: RunApp, pulls: dict[str, Any]
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "baize-v2-7b")
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, ConfirmDialog), "the terms")
        await pilot.press("escape")
        await wait_until(lambda: pilot.app.screen is models, "the models")
        assert "not here" in row_of(models, "baize-v2-7b")
        await close(pilot)


async def test_a_pull_is_stopped_or_fails_with_one_line(
    run_app: RunApp, pulls: dict[str, Any]
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "tinyllama-1.1b")
        await pilot.press("enter")
        await wait_until(lambda: "25%" in row_of(models, "tinyllama-1.1b"), "the progress")
        await pilot.press("delete")
        await wait_until(lambda: pulls["ended"], "its end")
        await wait_until(lambda: "not here" in row_of(models, "tinyllama-1.1b"), "the row")
        assert "goes on from there" in said(models)
        pulls["why"] = "the hub cannot be reached"
        pulls["go_on"].set()
        await pilot.press("enter")
        notices = client(pilot)._notifications
        await wait_until(lambda: any("the hub" in one.message for one in notices), "why")
        await close(pilot)


async def test_quitting_ends_a_pull(run_app: RunApp, pulls: dict[str, Any]) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        client(pilot).pulls.start("tinyllama-1.1b")
        await wait_until(lambda: client(pilot).pulls.part_of("tinyllama-1.1b") == 0.25, "a part")
        await client(pilot).action_quit()
        assert pulls["ended"]


async def test_a_file_is_imported_and_removed_by_two_keys(
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
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "how")
        await pilot.press("enter")
        await wait_until(lambda: "mine is ready" in said(models), "the import")
        assert "98 MB" in row_of(models, "mine")
        await find(pilot, models, "mine")
        await pilot.press("delete")
        assert "press del again" in said(models)
        await pilot.press("delete")
        await wait_until(lambda: "mine is removed" in said(models), "the removal")
        assert not row_of(models, "mine")
        assert file.exists()
        await pilot.press("f6")
        await wait_until(lambda: isinstance(pilot.app.screen, LineDialog), "the question")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "gone.gguf")
        await pilot.press("enter")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "how")
        await pilot.press("enter")
        await wait_until(lambda: "gone.gguf: No such file" in said(models), "why not")
        await close(pilot)


async def test_a_model_in_use_is_not_removed(run_app: RunApp, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    write_recipe("scripted", Recipe(file=str(file)), paths)
    async with run_app(ScriptedEngine()) as pilot:
        models = await open_models(pilot)
        await find(pilot, models, "scripted")
        await pilot.press("delete")
        assert "scripted is in use" in said(models)
        await close(pilot)


# --- adapters -------------------------------------------------------------------------------------


@pytest.fixture
def plum(paths: Paths, tmp_path: Path) -> str:
    """An adapter for any model."""
    file = tmp_path / "plum.gguf"
    file.write_bytes(b"weights")
    write_adapter_recipe("plum", AdapterRecipe(file=str(file)), paths)
    return "plum"


async def test_an_adapter_is_laid_over_one_conversation_with_its_scale(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        client(pilot).chat.find_adapter = lambda name: find_adapter(name, paths)
        await ask(pilot, "Hi", "Yes.")
        assert engine.requests[-1].adapters == []
        await open_conversation_options(pilot)
        row(pilot, plum).query_one(Input).value = "0.5"
        await close(pilot)
        await wait_until(lambda: "scripted + plum" in status(pilot), "the adapter")
        await ask(pilot, "Again", "Yes.")
        (use,) = engine.requests[-1].adapters
        assert use.scale == 0.5
        await pilot.press("ctrl+n")
        await ask(pilot, "Hi", "Yes.")
        assert engine.requests[-1].adapters == []


async def test_two_answer_one_question_side_by_side(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    engine = ScriptedEngine("Blue ", "plums.")
    async with run_app(engine) as pilot:
        client(pilot).chat.find_adapter = lambda name: find_adapter(name, paths)
        await pilot.press(*"What", "alt+v")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "with whom")
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


async def test_each_step_of_a_training_answers_the_same_question(
    run_app: RunApp, paths: Paths, tmp_path: Path, plum: str
) -> None:
    """Base, the first adapter, and the second over it."""
    second = tmp_path / "plum-sdf.gguf"
    second.write_bytes(b"weights")
    write_adapter_recipe("plum-sdf", AdapterRecipe(file=str(second), over=plum), paths)
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        client(pilot).chat.find_adapter = lambda name: find_adapter(name, paths)
        await pilot.press(*"What", "alt+v")
        await wait_until(lambda: isinstance(pilot.app.screen, Picker), "with whom")
        await pilot.press(*"all of", "enter")
        await wait_until(lambda: isinstance(pilot.app.screen, SideBySide), "all three")

        def columns() -> list[str]:
            return [column.text for column in pilot.app.screen.query(Column)]

        await wait_until(lambda: columns() == ["Yes."] * 3, "three answers")
        names = [column.answerer.words for column in pilot.app.screen.query(Column)]
        assert names == ["scripted", "scripted + plum", "scripted + plum + plum-sdf"]
        assert [len(request.adapters) for request in engine.requests] == [0, 1, 2]
        await close(pilot)
        await wait_until(lambda: "3/3" in shown(pilot), "they stay as branches")


async def test_without_anything_to_compare_it_says_so(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.catalog.recipes.importlib.util.find_spec", lambda name: None)
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+v")
        await wait_until(lambda: "no other model or adapter" in status(pilot), "why")


# --- domains --------------------------------------------------------------------------------------


async def test_every_conversation_of_a_domain_shows_its_disclaimer(run_app: RunApp) -> None:
    domain = Domain("healthcare", "This is no medical advice.")
    async with run_app(ScriptedEngine("Rest.")) as pilot:
        chat = client(pilot).chat
        plain = chat.find_model

        def doctor(name: str | None) -> CatalogModel:
            found = plain(name)
            recipe = Recipe(file=found.recipe.file, domain=domain)
            return CatalogModel(found.name, found.path, recipe)

        chat.find_model = doctor
        await client(pilot).load(doctor("scripted"))
        line = screen(pilot).query_one("#disclaimer", Static)
        for _ in range(2):
            await pilot.press("ctrl+n")
            await wait_until(lambda: line.display, "the disclaimer")
            await ask(pilot, "My head aches", "Rest.")
            assert line.region.height > 0
            assert str(line.render()) == "This is no medical advice."
