"""Searching all conversations on the screen, and going to what was found."""

from __future__ import annotations

import contextlib

from rich.text import Text
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from baize_tui.app.conversation.finding import OTHER_BRANCH
from baize_tui.app.screens.search import NOTHING, SearchScreen
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import AnswerContent
from tests.app.pilot import RunApp, ask, client, is_open, notices, screen, shown, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def write_conversation(
    store: Store, title: str, *turns: str, thought: str = ""
) -> tuple[str, list[int]]:
    """A conversation of questions and answers in turn; its id, and those of its messages."""
    conversation = store.new_conversation(system="", moderation=True, title=title)
    numbers: list[int] = []
    for place, text in enumerate(turns):
        parent = numbers[-1] if numbers else None
        message = store.add_message(
            conversation.id, parent, "assistant" if place % 2 else "user", text
        )
        if place % 2 and thought:
            content = AnswerContent(message.id, text, thought, [], None)
            store.answers.finish(content, "complete", None)
        numbers.append(message.id)
    return conversation.id, numbers


async def search(pilot: Pilot[int], text: str) -> None:
    await pilot.press("ctrl+s")
    await wait_until(lambda: is_open(pilot, SearchScreen), "the search")
    await pilot.press(*text)


def rows(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(ChoiceList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


def about(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("#found").render())


async def test_results_appear_while_typing(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "What is a plum?", "A sweet stone fruit.")
        write_conversation(store, "Plumbing", "My sink drips.", "Tighten the nut.")
    async with run_app(ScriptedEngine()) as pilot:
        await search(pilot, "plum")
        await wait_until(lambda: len(rows(pilot)) == 2, "both")
        first, second = rows(pilot)
        assert first.startswith("Plumbing")
        assert second.startswith("Fruit")
        assert "What is a plum?" in second
        option = pilot.app.screen.query_one(ChoiceList).get_option_at_index(1).prompt
        assert isinstance(option, Text)
        (match,) = [s for s in option.spans if "underline" in str(s.style)]
        assert option.plain[match.start : match.end] == "plum"
        await pilot.press(*"xyz")
        await wait_until(lambda: rows(pilot) == [] and about(pilot) == NOTHING, "nothing")
        await pilot.press(*["backspace"] * 7, *"is:great")
        await wait_until(lambda: "is:great is none of is:good, is:bad" in about(pilot), "a line")
        await pilot.press("escape")
        await wait_until(lambda: not is_open(pilot, SearchScreen), "its end")


async def test_enter_goes_to_the_message_on_its_branch(run_app: RunApp, paths: Paths) -> None:
    long = "\n\n".join(f"line {number}" for number in range(60))
    with contextlib.closing(Store(paths.conversations_file)) as store:
        id, (question, *_) = write_conversation(store, "Fruit", "Q", "with a quince", "more", long)
        other = store.add_message(id, question, "assistant", "another answer")
        store.set_leaf(id, other.id)
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        await search(pilot, "quince")
        await wait_until(lambda: len(rows(pilot)) == 1, "it")
        await pilot.press("enter")
        await wait_until(lambda: len(texts(pilot)) == 4, "the branch")
        await wait_until(lambda: "with a quince" in shown(pilot), "the message in sight")
        assert screen(pilot).query_one(FindBar).is_open
        await pilot.press("escape")
        await wait_until(lambda: not screen(pilot).query_one(FindBar).is_open, "the end")
        assert screen(pilot).focused is screen(pilot).prompt
        assert "with a quince" in shown(pilot)


async def test_enter_goes_to_a_message_far_above(run_app: RunApp, paths: Paths) -> None:
    turns = [f"message {number}" for number in range(400)]
    turns[3] = "with a quince"
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Long", *turns)
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        await search(pilot, "quince")
        await wait_until(lambda: len(rows(pilot)) == 1, "it")
        await pilot.press("enter")
        await wait_until(lambda: "with a quince" in shown(pilot), "the message in sight")


async def test_an_answer_in_progress_keeps_its_branch(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "quince.")
    async with run_app(engine, notifications=True) as pilot:
        await ask(pilot, "Hi", "One quince.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        engine.pause_at = 1
        await pilot.press("ctrl+r")
        await wait_until(lambda: texts(pilot) == ["Hi", "One "], "half of another answer")
        await search(pilot, "quince")
        await wait_until(lambda: len(rows(pilot)) == 1, "the first answer")
        await pilot.press("enter")
        await wait_until(lambda: OTHER_BRANCH in notices(pilot), "why it is not shown")
        assert texts(pilot) == ["Hi", "One "]
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Hi", "One quince."], "the rest")


async def test_enter_on_a_title_opens_the_conversation(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "Q", "A")
        write_conversation(store, "Other", "R", "B")
    async with run_app(ScriptedEngine()) as pilot:
        await search(pilot, "fru")
        await wait_until(lambda: len(rows(pilot)) == 1, "it")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == ["Q", "A"], "the conversation")
        assert screen(pilot).focused is screen(pilot).prompt


async def test_a_match_in_a_thought_is_unfolded(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "Q", "A", thought="perhaps a quince")
    async with run_app(ScriptedEngine()) as pilot:
        await search(pilot, "in:thought quince")
        await wait_until(lambda: len(rows(pilot)) == 1, "it")
        await pilot.press("enter")
        await wait_until(lambda: "perhaps a quince" in shown(pilot), "the thought")


async def test_enter_means_the_results_of_all_that_is_typed(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Quick", "Q", "A")
        wanted, _ = write_conversation(store, "Quince", "Q", "A")
        write_conversation(store, "Quiet", "Q", "A")
    async with run_app(ScriptedEngine()) as pilot:
        await search(pilot, "qui")
        await wait_until(lambda: len(rows(pilot)) == 3, "those that begin so")
        for key in "nce":
            pilot.app.screen.post_message(Key(key, key))
        await pilot.press("enter")
        await wait_until(lambda: screen(pilot).view.open_id == wanted, "the one that was typed")


async def test_what_was_typed_in_the_list_is_searched(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "quince", "A")
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("ctrl+b", *"quince", "ctrl+s")
        await wait_until(lambda: is_open(pilot, SearchScreen), "the search")
        assert pilot.app.screen.query_one(Input).value == "quince"
        await wait_until(lambda: len(rows(pilot)) == 1, "it")


async def test_control_characters_of_others_are_harmless(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "quince", "A")
        with store.database.transaction() as connection:
            connection.execute("UPDATE message SET text = 'quince \x1b]0;x\x07' WHERE id = 1")
            connection.execute("UPDATE conversation SET title = 'Fr\x1b[2Juit'")
    async with run_app(ScriptedEngine()) as pilot:
        await search(pilot, "quince")
        await wait_until(lambda: len(rows(pilot)) == 1, "it")
        assert "\x1b" not in rows(pilot)[0]
        assert "\x07" not in rows(pilot)[0]
