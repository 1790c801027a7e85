"""Working on messages: branches, edits, marks, copies, deletions."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from baize_tui.app.widgets.prompt import Prompt
from baize_tui.paths import Paths
from tests.app.pilot import (
    RunApp,
    ask,
    client,
    notices,
    say,
    screen,
    shown,
    texts,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_answer_again(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        engine.script = ["Two."]
        await pilot.press("ctrl+r")
        await wait_until(lambda: texts(pilot) == ["Hi", "Two."], "another answer")


async def test_branches_are_shown_and_switched(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        engine.script = ["Two."]
        await pilot.press("ctrl+r")
        await wait_until(lambda: texts(pilot) == ["Hi", "Two."], "another answer")
        await wait_until(lambda: "2/2" in branch_of(pilot), "the branch")
        await pilot.press("alt+left")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the first answer")
        assert "1/2" in branch_of(pilot)
        await pilot.press("alt+left")  # there is none before
        await pilot.press("alt+right")
        await wait_until(lambda: texts(pilot) == ["Hi", "Two."], "the second answer")


async def test_answering_an_earlier_question_again(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        for question in ("first", "second"):
            await say(pilot, question)
            await wait_until(lambda q=question: texts(pilot)[-2:] == [q, "One."], "the answer")
        engine.script = ["Two."]
        await pilot.press("alt+up", "alt+up", "alt+up", "ctrl+r")
        await wait_until(lambda: texts(pilot) == ["first", "Two."], "another answer")
        await wait_until(lambda: "2/2" in branch_of(pilot), "the branch")
        await pilot.press("alt+left")
        await wait_until(lambda: texts(pilot) == ["first", "One.", "second", "One."], "the other")


def branch_of(pilot: Pilot[int]) -> str:
    place = transcript(pilot).turns[-1].branch
    return f"{place[0]}/{place[1]}" if place is not None else ""


async def test_editing_the_last_question_branches(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("up")
        assert pilot.app.query_one(Prompt).text == "Hi"
        await pilot.press(*" you", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi you", "One."], "the new branch")
        await pilot.press("alt+up", "alt+up", "alt+left")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the old branch")


async def test_an_edited_answer_is_only_saved(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+up", "alt+e", *" Two.", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One. Two."], "the edited answer")
        assert len(engine.requests) == 1


async def test_a_cancelled_edit_changes_nothing(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("up", *" no", "escape")
        assert pilot.app.query_one(Prompt).text == ""
        assert texts(pilot) == ["Hi", "One."]


async def test_deleting_a_message_can_be_undone(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+d")
        await wait_until(lambda: texts(pilot) == ["Hi"], "the deletion")
        await pilot.press("alt+z")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the undo")


async def test_copying_a_code_block_as_written(
    run_app: RunApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no clipboard program
    long_line = "x = " + "1 + " * 60 + "1\n"
    async with run_app(ScriptedEngine(f"Look:\n\n```python\n{long_line}```\n")) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await pilot.press("alt+k")
        await pilot.pause()
        assert pilot.app.clipboard == long_line
        assert (paths.cache / "copied.txt").read_text() == long_line


async def test_the_same_key_again_copies_the_code_block_before(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    answer = "```\nfirst\n```\n\n```\nsecond\n```\n\n```\nthird\n```\n"
    async with run_app(ScriptedEngine(answer), notifications=True) as pilot:
        await ask(pilot, "Hi", answer)
        for name in ("third", "second", "first", "third"):
            await pilot.press("alt+k")
            await pilot.pause()
            assert pilot.app.clipboard == f"{name}\n"
        await wait_until(lambda: "Code block 1 of 3: Copied" in notices(pilot), "the notice")


async def test_the_word_above_a_code_block_copies_it(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    answer = "```\nfirst\n```\n\nand\n\n```python\nsecond = 2\n```\n"
    async with run_app(ScriptedEngine(answer)) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: "second" in shown(pilot), "the answer")
        await wait_until(lambda: "copy" in shown(pilot), "the word")
        rows = shown(pilot).split("\n")
        line = next(y for y, row in enumerate(rows) if "python" in row)
        await pilot.click("#transcript", offset=(rows[line].index("copy") + 2, line + 1))
        await wait_until(lambda: pilot.app.clipboard == "second = 2\n", "the copy")


async def test_an_answer_is_marked_and_unmarked(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+g")
        await wait_until(lambda: "▲ good" in shown(pilot), "the mark")
        await pilot.press("alt+w")
        await wait_until(lambda: "▼ bad" in shown(pilot), "the other mark")
        chat = client(pilot).state.chat
        (conversation,) = await chat.conversations.list_all()
        assert (await chat.conversations.shown_messages(conversation.id))[-1].mark == "bad"
        await pilot.press("alt+w")
        await wait_until(lambda: "bad" not in shown(pilot), "no mark")
        assert (await chat.conversations.shown_messages(conversation.id))[-1].mark is None


async def test_a_question_is_not_marked(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+up", "alt+up", "alt+g")
        assert "good" not in shown(pilot)


async def test_a_click_unfolds_reasoning(run_app: RunApp) -> None:
    engine = ScriptedEngine("<think>It is known.</think>Paris.")
    async with run_app(engine) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "Paris." in shown(pilot), "the answer")
        line = next(y for y, row in enumerate(shown(pilot).split("\n")) if "thought" in row)
        await pilot.click("#transcript", offset=(6, line + 1))
        await wait_until(lambda: "│ It is known." in shown(pilot), "the thought")


async def test_a_click_selects_a_message_and_switches_branches(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        engine.script = ["Two."]
        await pilot.press("ctrl+r")
        await wait_until(lambda: "‹ 2/2 ›" in shown(pilot), "the branch")
        rows = shown(pilot).split("\n")
        line = next(y for y, row in enumerate(rows) if "2/2" in row)
        await pilot.click("#transcript", offset=(rows[line].index("‹") + 1, line + 1))
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the first answer")
        line = next(y for y, row in enumerate(shown(pilot).split("\n")) if "Hi" in row)
        await pilot.click("#transcript", offset=(5, line + 1))
        await wait_until(lambda: transcript(pilot).selected is not None, "the choice")
        assert transcript(pilot).selected is transcript(pilot).turns[0]
        assert pilot.app.focused is screen(pilot).prompt
