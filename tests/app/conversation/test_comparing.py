"""Answers of several models or adapters, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.screens.picker import Picker
from baize_tui.app.screens.side_by_side import AnswerColumn, SideBySide
from baize_tui.catalog.adapters import AdapterRecipe, find_adapter, write_adapter_recipe
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from tests.app.forms import close
from tests.app.key_fuzzer import send, settle
from tests.app.pilot import RunApp, catalog, is_open, screen, shown, status, texts, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def ask_side_by_side(pilot: Pilot[int], choice: str) -> None:
    """Ask "What" of the models that ``choice`` finds in the picker."""
    await pilot.press(*"What", "alt+v")
    await wait_until(lambda: is_open(pilot, Picker), "the picker")
    await pilot.press(*choice, "enter")
    await wait_until(lambda: is_open(pilot, SideBySide), "the answers")


def is_comparing(pilot: Pilot[int]) -> bool:
    return any(worker.group == "compare" for worker in screen(pilot).workers)


async def test_two_models_answer_one_question_side_by_side(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    engine = ScriptedEngine("Blue ", "plums.")
    async with run_app(engine) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await ask_side_by_side(pilot, "plum")

        def columns() -> list[str]:
            return [column.text for column in pilot.app.screen.query(AnswerColumn)]

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
        await ask_side_by_side(pilot, "every")

        def columns() -> list[str]:
            return [column.text for column in pilot.app.screen.query(AnswerColumn)]

        await wait_until(lambda: columns() == ["Yes."] * 3, "three answers")
        names = [column.answerer.label for column in pilot.app.screen.query(AnswerColumn)]
        assert names == ["scripted", "scripted + plum", "scripted + plum + plum-sdf"]
        assert [len(request.adapters) for request in engine.requests] == [0, 1, 2]
        await close(pilot)
        await wait_until(lambda: "3/3" in shown(pilot), "they stay as branches")


async def test_keys_scroll_all_answers(run_app: RunApp, paths: Paths, plum: str) -> None:
    answer = "\n\n".join(f"line {number}" for number in range(60))
    async with run_app(ScriptedEngine(answer)) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await ask_side_by_side(pilot, "plum")
        columns = pilot.app.screen.query(AnswerColumn)
        await wait_until(lambda: [c.text for c in columns] == [answer, answer], "both answers")
        await pilot.pause()

        def places() -> set[float]:
            return {column.transcript.scroll_y for column in columns}

        (end,) = places()
        height = columns.first().transcript.size.height
        for key, place in (
            ("up", end - 1),
            ("down", end),
            ("pageup", end - height + 2),
            ("pagedown", end),
            ("home", 0),
            ("down", 1),
            ("end", end),
        ):
            await pilot.press(key)
            assert places() == {place}, key


async def test_one_token_has_no_speed_and_a_singular(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    async with run_app(ScriptedEngine("Plums.")) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await ask_side_by_side(pilot, "plum")

        def states() -> list[str]:
            return [str(s.render()) for s in pilot.app.screen.query(".state").results(Static)]

        await wait_until(lambda: states() == ["1 token", "1 token"], "both answers")


async def test_nothing_to_compare_is_reported(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.catalog.finding.importlib.util.find_spec", lambda name: None)
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+v")
        await wait_until(lambda: "no other model or adapter" in status(pilot), "the reason")
        assert titles(pilot) == []


@pytest.mark.parametrize("closing", [["escape"], ["escape", "ctrl+n"]], ids=["there", "new"])
async def test_words_typed_after_closing_are_kept(
    run_app: RunApp, paths: Paths, plum: str, closing: list[str]
) -> None:
    """The answers are stopped when they are closed, which ends a little later."""
    engine = ScriptedEngine("Blue ", "plums.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await ask_side_by_side(pilot, "plum")
        await wait_until(engine.paused.is_set, "half the answer")
        assert screen(pilot).prompt.text == ""
        await send(pilot, [*closing, *"next"])
        await settle(pilot)
        await wait_until(lambda: "What" in titles(pilot), "the conversation")
        await wait_until(lambda: not is_comparing(pilot), "the end of the answers")
        await settle(pilot)
        assert screen(pilot).prompt.text == "next"


async def test_a_question_that_cannot_be_saved_stays_in_the_prompt(
    run_app: RunApp, paths: Paths, plum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("no space left on the disk")

    async with run_app(ScriptedEngine("Blue.")) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        monkeypatch.setattr(Store, "add_message", full)
        await ask_side_by_side(pilot, "plum")
        await close(pilot)
        await wait_until(lambda: screen(pilot).prompt.text == "What", "the question")
