"""What an empty conversation shows, and its examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from baize_tui.app.conversation.texts import EXAMPLES, EXAMPLES_TITLE
from baize_tui.catalog.recipes import CatalogModel, Domain
from tests.app.pilot import RunApp, screen, shown, texts
from tests.chat.scripted_engine import ScriptedEngine, model
from tests.conftest import wait_until


async def test_it_names_the_model_with_its_size_and_whether_it_fits(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await wait_until(lambda: "A scripted model · 0.0 MB · fits" in shown(pilot), "the model")
        assert "Everything stays on this computer." in shown(pilot)
        assert "f1     all keys and commands" in shown(pilot)


@pytest.mark.parametrize("size", [(80, 24), (31, 12), (200, 60)])
async def test_it_is_read_from_its_first_line(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(ScriptedEngine(), size=size) as pilot:
        assert shown(pilot).split("\n")[0].strip() == "白泽 Baize"


async def test_tab_takes_one_example_after_the_other(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        for example in (*EXAMPLES, EXAMPLES[0]):
            await pilot.press("tab")
            assert screen(pilot).prompt.text == example
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == [EXAMPLES[0], "Hello there."], "the answer")
        await pilot.press("tab")
        assert screen(pilot).prompt.text == "", "the welcome is gone"


async def test_tab_leaves_what_is_written(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"Hi", "tab")
        assert screen(pilot).prompt.text == "Hi"


async def test_a_click_takes_an_example_which_can_be_undone(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"Hi")
        line = next(y for y, text in enumerate(shown(pilot).split("\n")) if EXAMPLES[1] in text)
        transcript = screen(pilot).transcript
        await pilot.click(transcript, offset=(8, line + transcript.content_offset.y))
        await wait_until(lambda: screen(pilot).prompt.text == EXAMPLES[1], "the example")
        await pilot.press("ctrl+underscore")
        assert screen(pilot).prompt.text == "Hi"


async def test_a_model_of_one_field_has_no_examples(run_app: RunApp, tmp_path: Path) -> None:
    domain = Domain("healthcare", "Not a doctor.")

    def find(name: str | None) -> CatalogModel:
        found = model(str(tmp_path / "scripted.gguf"), name or "scripted")
        return replace(found, recipe=replace(found.recipe, domain=domain))

    async with run_app(ScriptedEngine(), find_model=find) as pilot:
        assert EXAMPLES_TITLE not in shown(pilot)
        await pilot.press("tab")
        assert screen(pilot).prompt.text == ""
