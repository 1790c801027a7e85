"""The map of the branches: what it shows, and what can be done in it."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.screens import branch_map
from baize_tui.app.screens.branch_comparison import BranchComparison
from baize_tui.app.screens.branch_map import BranchMap, guides_text
from baize_tui.app.screens.dialogs import LineDialog
from baize_tui.app.screens.scrolled_together import Column
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.app.pilot import (
    RunApp,
    ask_and_pause,
    client,
    is_open,
    screen,
    status,
    texts,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def write_branches(paths: Paths) -> dict[str, int]:
    """A conversation with a branch in a branch; the numbers of its messages, by their texts."""
    store = Store(paths.conversations_file)
    id = store.new_conversation(system="", moderation=True, title="Bread").id
    numbers: dict[str, int] = {}
    for text, before in {
        "How?": None,
        "Knead it.": "How?",
        "Buy it.": "How?",
        "Where?": "Buy it.",
        "Next door.": "Where?",
        "When?": "Buy it.",
        "Now.": "When?",
    }.items():
        role = "user" if text.endswith("?") else "assistant"
        parent = numbers[before] if before is not None else None
        numbers[text] = store.add_message(id, parent, role, text).id  # type: ignore[arg-type]
    store.set_mark(numbers["Knead it."], "good")
    store.close()
    return numbers


def rows(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(ChoiceList)
    return [str(options.get_option_at_index(index).prompt) for index in range(options.option_count)]


def about(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("#about", Static).render())


async def open_map(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+b", "enter")
    await wait_until(lambda: texts(pilot)[-1:] == ["Now."], "the conversation")
    await pilot.press("alt+shift+b")
    await wait_until(lambda: is_open(pilot, BranchMap) and len(rows(pilot)) == 5, "the map")
    options = pilot.app.screen.query_one(ChoiceList)
    await wait_until(lambda: options.highlighted == 4, "the cursor on what is shown")


async def test_the_map_is_a_tree_of_the_branches(run_app: RunApp, paths: Paths) -> None:
    write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        assert rows(pilot) == [
            "● You   How?",
            "├─○ Model Knead it.",
            "╰─● Model Buy it.",
            "  ├─○ You   Where?",
            "  ╰─● You   When?",
        ]
        await pilot.press("up", "up", "up")
        details = pilot.app.screen.query_one("#details", Static)
        await wait_until(lambda: "Answer 1 of 2" in str(details.render()), "the details")
        assert "marked as good · 1 message" in str(details.render())
        await pilot.press(*"next")
        await wait_until(lambda: rows(pilot) == [], "no beginning with these letters")
        await pilot.press("escape")
        await wait_until(lambda: pilot.app.screen is screen(pilot), "the conversation")
        assert texts(pilot) == ["How?", "Buy it.", "When?", "Now."]


async def test_enter_shows_a_branch_and_selects_its_message(run_app: RunApp, paths: Paths) -> None:
    write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        await pilot.press("up", "enter")
        await wait_until(lambda: texts(pilot)[-1:] == ["Next door."], "the branch")
        selected = transcript(pilot).selected
        assert selected is not None
        assert selected.text == "Where?"
        assert screen(pilot).prompt.has_focus


async def test_a_branch_gets_a_name_which_finds_it(run_app: RunApp, paths: Paths) -> None:
    numbers = write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        await pilot.press("f2")
        await wait_until(lambda: is_open(pilot, LineDialog), "the question")
        await pilot.press(*"soon", "enter")
        await wait_until(lambda: rows(pilot)[-1:] == ["  ╰─● You   soon — When?"], "the name")
        await pilot.press(*"soon")
        await wait_until(lambda: rows(pilot) == ["● You   soon — When?"], "the search")
        await pilot.press("f2")
        await wait_until(lambda: is_open(pilot, LineDialog), "the question")
        await pilot.press(*["backspace"] * 4, "enter")
        await wait_until(lambda: rows(pilot) == [], "no name")
        await pilot.press("escape")
        chat = client(pilot).state.chat
        assert (await chat.messages.get(numbers["When?"])).name == ""


async def test_two_branches_are_compared_from_where_they_part(
    run_app: RunApp, paths: Paths
) -> None:
    write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        await pilot.press("f5", "up", "up")
        await wait_until(lambda: about(pilot) == branch_map.COMPARE_WITH, "the second one")
        await pilot.press("f5")
        await wait_until(lambda: about(pilot) == branch_map.NESTED, "one that contains it")
        await pilot.press("up", "f5")
        await wait_until(lambda: is_open(pilot, BranchComparison), "the comparison")
        columns = pilot.app.screen.query(Column)
        assert [column.text for column in columns] == ["Buy it.When?Now.", "Knead it."]
        assert "After “How?”" in str(pilot.app.screen.query_one(".title", Static).render())
        await pilot.press("down", "escape")
        await wait_until(lambda: is_open(pilot, BranchMap), "the map")
        await pilot.press("escape")


async def test_a_branch_is_deleted_and_restored(run_app: RunApp, paths: Paths) -> None:
    write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        await pilot.press("up", "delete")
        await wait_until(lambda: "with 2 messages" in about(pilot), "the question")
        await pilot.press("delete")
        await wait_until(lambda: len(rows(pilot)) == 3, "no branch there any more")
        assert rows(pilot)[-1] == "╰─● Model Buy it."
        await pilot.press("alt+z")
        await wait_until(lambda: rows(pilot)[-1:] == ["  ╰─● You   When?"], "the branch")
        await pilot.press("delete", "delete")
        await wait_until(lambda: rows(pilot) == ["● You   How?"], "the deletion")
        await pilot.press("escape")
        await wait_until(lambda: texts(pilot) == ["How?", "Knead it."], "what is left")
        await pilot.press("alt+z")
        await wait_until(lambda: texts(pilot)[-1:] == ["Now."], "the branch that was shown")


async def test_the_whole_conversation_is_not_deleted_in_the_map(
    run_app: RunApp, paths: Paths
) -> None:
    write_branches(paths)
    async with run_app(ScriptedEngine()) as pilot:
        await open_map(pilot)
        await pilot.press("up", "up", "up", "up", "delete", "delete")
        await wait_until(lambda: about(pilot) == branch_map.WHOLE, "the reason")
        assert len(rows(pilot)) == 5
        await pilot.press("alt+z")
        await wait_until(lambda: about(pilot) == branch_map.NOTHING_TO_UNDO, "the answer")
        await pilot.press("escape")


async def test_while_an_answer_grows_the_branches_stay(run_app: RunApp, paths: Paths) -> None:
    write_branches(paths)
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await pilot.press("ctrl+b", "enter")
        await wait_until(lambda: texts(pilot)[-1:] == ["Now."], "the conversation")
        await ask_and_pause(pilot, "Go on", "One ")
        await pilot.press("alt+shift+b")
        await wait_until(lambda: is_open(pilot, BranchMap) and len(rows(pilot)) == 5, "the map")
        await pilot.press("up", "enter")
        await wait_until(lambda: about(pilot) == branch_map.ANSWERING, "the reason")
        await pilot.press("delete")
        await wait_until(lambda: about(pilot) == branch_map.ANSWERING, "the reason")
        await pilot.press("escape")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[-1:] == ["One two."], "the answer")


async def test_without_messages_there_is_no_map(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+shift+b")
        await pilot.pause()
        assert pilot.app.screen is screen(pilot)
        assert status(pilot)


def test_deep_branches_are_cut_at_the_left() -> None:
    assert guides_text(()) == ""
    assert guides_text((True,)) == "├─"
    assert guides_text((True, False, False)) == "│   ╰─"
    deep = guides_text((True,) * 500)
    assert deep.startswith("… │ ")
    assert len(deep) < 25
