"""The screen with a scripted engine: what a person sees and what their keys do."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from textual import events
from textual.color import Color
from textual.pilot import Pilot
from textual.theme import Theme

from baize_tui.app.actions import ACTIONS, keys_table
from baize_tui.app.client import BaizeApp
from baize_tui.app.conversation_list import ConversationList
from baize_tui.app.conversation_screen import ConversationScreen
from baize_tui.app.dialogs import HelpScreen, LineDialog
from baize_tui.app.prompt import Prompt
from baize_tui.app.status_line import StatusLine
from baize_tui.app.themes import BAIZE_DARK, BAIZE_LIGHT
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.formats import MODERATION
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.client import EngineFailure, WorkerDied
from baize_tui.engine.protocol import ThreadsChosen
from baize_tui.paths import Paths
from baize_tui.settings import LookSettings, Settings
from baize_tui.store.conversations import Store
from tests.app.looking import (
    RunApp,
    ask,
    ask_and_pause,
    say,
    screen,
    shown,
    status,
    texts,
    titles,
    transcript,
)
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine
from tests.conftest import wait_until


async def test_a_question_is_answered_and_listed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("The capital ", "is **Paris**.")) as pilot:
        await say(pilot, "What is the capital of France?")
        wanted = ["What is the capital of France?", "The capital is **Paris**."]
        await wait_until(lambda: texts(pilot) == wanted, "the answer")
        assert titles(pilot) == ["What is the capital of France?"]
        assert pilot.app.query_one(Prompt).text == ""
        await wait_until(lambda: "tokens/s" in status(pilot), "the speed")
        assert "The capital is Paris." in shown(pilot)


async def test_the_status_line_tells_the_threads(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.threads = ThreadsChosen(0, 1, 2, lowered=True)
    engine.pause_at = 1
    async with run_app(engine, size=(140, 30)) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        busy = "answering · 1 of 2 threads: the machine is busy"
        await wait_until(lambda: status(pilot) == busy, "why it is slow")
        engine.go_on.set()
        await wait_until(lambda: "tokens/s · 1 of 2 threads" in status(pilot), "the end")
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine, size=(140, 30)) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "tokens/s · 1 thread ·" in status(pilot), "the end")


@pytest.mark.parametrize(("threads", "seldom"), [(2, True), (1, False)])
async def test_an_answer_is_drawn_seldom_while_every_core_computes(
    threads: int, seldom: bool, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.app.live_answers.usable_cpus", lambda: 2)
    engine = ScriptedEngine("One ", "two.")
    engine.threads = ThreadsChosen(0, threads, 2, lowered=False)
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        rate = 5 if seldom else 10
        await wait_until(lambda: screen(pilot)._draws_per_second == rate, "the rate")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[1:] == ["One two."], "all of it")


async def test_a_narrow_status_line_leaves_the_threads_out(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One ", "two."), size=(80, 24)) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "tokens/s" in status(pilot), "the end")
        assert "thread" not in status(pilot)
        assert status(pilot).endswith("moderated")


async def test_everything_is_there_after_a_restart(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
    async with run_app(ScriptedEngine("Two.")) as pilot:
        assert titles(pilot) == ["Hi"]
        assert texts(pilot) == []
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the conversation")
        await say(pilot, "And?")
        await wait_until(lambda: texts(pilot) == ["Hi", "One.", "And?", "Two."], "the answer")


async def test_continue_opens_the_conversation(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    store.add_message(conversation.id, None, "user", "Earlier")
    store.close()
    async with run_app(ScriptedEngine(), open_session=conversation.id) as pilot:
        await wait_until(lambda: texts(pilot) == ["Earlier"], "the conversation")


async def test_escape_stops_and_keeps(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One two ")
        await pilot.press("escape")
        await wait_until(lambda: "tokens/s" in status(pilot), "the stop")
        assert texts(pilot)[-1] == "One two "
        assert "stopped · ^g goes on" in shown(pilot)
        engine.pause_at, engine.script = None, ["three."]
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["Count", "One two three."], "the rest")


async def test_typing_goes_on_while_the_model_answers(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        await pilot.press(*"next")
        assert pilot.app.query_one(Prompt).text == "next"
        await pilot.press("enter")  # not yet: the draft stays
        assert pilot.app.query_one(Prompt).text == "next"
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[-1:] == ["One two."], "the answer")


async def test_switching_away_and_back_while_it_streams(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One two ")
        await pilot.press("ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        assert titles(pilot) == ["● Count"]
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Count", "One two "], "the one before")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Count", "One two three."], "the answer")
        await wait_until(lambda: titles(pilot) == ["Count"], "the mark to go")


async def test_answer_again(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        engine.script = ["Two."]
        await pilot.press("ctrl+r")
        await wait_until(lambda: texts(pilot) == ["Hi", "Two."], "another answer")


async def test_branches_are_shown_and_walked(run_app: RunApp) -> None:
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


async def test_editing_an_answer_stands_as_written(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+up", "alt+e", *" Two.", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One. Two."], "the edited answer")
        assert len(engine.requests) == 1


async def test_giving_up_an_edit_changes_nothing(run_app: RunApp) -> None:
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


async def test_deleting_a_conversation_takes_two_keys_and_can_be_undone(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+b", "delete")
        assert titles(pilot) == ["Hi"]
        assert "press delete again" in status(pilot)
        await pilot.press("delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["Hi"], "the undo")
        assert texts(pilot) == ["Hi", "One."]


async def test_another_key_between_two_deletes_saves_the_conversation(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+b", "delete", "down", "delete")
        await pilot.pause()
        assert titles(pilot) == ["Hi"]


async def test_conversations_are_found_by_typing(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    for title in ("Baking bread", "Perl regexes", "Bread and butter"):
        store.new_conversation(system="", moderation=True, title=title)
    store.close()
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("ctrl+b", *"bread")
        await wait_until(lambda: len(titles(pilot)) == 2, "the search")
        assert set(titles(pilot)) == {"Baking bread", "Bread and butter"}
        await pilot.press("enter")
        await wait_until(lambda: len(titles(pilot)) == 3, "the whole list")


async def test_renaming(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("f2")
        await wait_until(lambda: isinstance(pilot.app.screen, LineDialog), "the dialog")
        await pilot.press(*"!", "enter")
        await wait_until(lambda: titles(pilot) == ["Hi!"], "the new title")


async def test_commands_mirror_the_actions(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await say(pilot, "/help")
        await wait_until(lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        await pilot.press("escape")
        await wait_until(lambda: not isinstance(pilot.app.screen, HelpScreen), "its end")
        await say(pilot, "/nonsense")
        await wait_until(lambda: "no command /nonsense" in status(pilot), "the message")
        assert pilot.app.query_one(Prompt).text == "/nonsense"


async def test_what_was_written_before_comes_back(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        for question in ("first", "second"):
            await say(pilot, question)
            await wait_until(lambda: "tokens/s" in status(pilot), "the answer")
        prompt = pilot.app.query_one(Prompt)
        for key, text in (("ctrl+up", "second"), ("ctrl+up", "first"), ("ctrl+down", "second")):
            await pilot.press(key)
            await wait_until(lambda text=text: prompt.text == text, text)


async def test_copying_a_code_block_as_written(
    run_app: RunApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no clipboard program
    long_line = "x = " + "1 + " * 60 + "1\n"
    async with run_app(ScriptedEngine(f"Look:\n\n```python\n{long_line}```\n")) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: "tokens/s" in status(pilot), "the answer")
        await pilot.press("alt+k")
        await pilot.pause()
        assert pilot.app.clipboard == long_line
        assert (paths.cache / "copied.txt").read_text() == long_line


async def test_the_draft_goes_through_the_editor(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/draft/text/")
    monkeypatch.setattr(BaizeApp, "suspend", lambda self: contextlib.nullcontext())
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        prompt.insert("my draft")
        await pilot.press("ctrl+o")
        await wait_until(lambda: prompt.text == "my text", "the editor")


async def test_every_action_has_a_method_and_its_own_key() -> None:
    assert all(callable(getattr(ConversationScreen, f"action_{a.id}")) for a in ACTIONS)
    keys = [action.key for action in ACTIONS]
    assert len(set(keys)) == len(keys)


def test_the_keys_page_is_the_table() -> None:
    """Made by: python -m baize_tui.app.actions > docs/keys.md"""
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text(encoding="utf-8") == keys_table()


async def test_moderation_is_seen_and_switched(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert MODERATION in transcript(pilot).notes[0]
        await pilot.press("ctrl+t")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")
        assert MODERATION not in transcript(pilot).notes[0]


async def test_a_dead_worker_is_said_and_survived(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", WorkerDied("the model process was ended by SIGKILL"))
    async with run_app(engine) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "SIGKILL" in status(pilot), "the message")
        assert texts(pilot) == ["Count", "One "]
        assert "interrupted · ^g goes on" in shown(pilot)
        engine.script = ["Fine."]
        await say(pilot, "Still there?")
        await wait_until(lambda: texts(pilot)[-1] == "Fine.", "the next answer")


async def test_a_model_that_does_not_load_is_named(run_app: RunApp) -> None:
    engine = ScriptedEngine()
    engine.load_failure = EngineFailure("x.gguf is not a GGUF file", "load")
    async with run_app(engine) as pilot:
        await wait_until(lambda: "not a GGUF" in status(pilot), "the message")


async def test_without_a_model_the_next_step_is_shown(paths: Paths) -> None:
    def find_none(name: str | None) -> CatalogModel:
        raise CatalogError("no model is installed. Import one with …")

    store = StoreThread(Store(paths.conversations_file))
    catalog = ScriptedCatalog(find_none)
    chat = Chat(store, ScriptedEngine(), Settings(), paths.cache, catalog)
    app = BaizeApp(chat, paths)
    async with app.run_test() as pilot:
        await wait_until(lambda: "Import one" in shown(pilot), "the next step")
        assert status(pilot) == "no model"
        await say(pilot, "Hi")
        await wait_until(lambda: "there is no model" in status(pilot), "the message")
        assert app.query_one(Prompt).text == "Hi"
        await app.action_quit()


async def test_enter_comes_after_the_letters_before_it(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*"one two", "ctrl+j", *"three", "enter")
        await wait_until(lambda: texts(pilot)[:1] == ["one two\nthree"], "the question")


async def test_keys_that_edit_come_in_the_order_they_were_typed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        keys = [*"onetwo", *["backspace"] * 3, *"thre", "left", "e", "home", "delete", "O"]
        for key in keys:
            character = key if len(key) == 1 else None
            pilot.app.post_message(events.Key(key, character))
        await wait_until(lambda: prompt.text == "Onethree", "the text")


async def test_a_paste_comes_once_and_clean(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        pilot.app.post_message(events.Paste("two\r\nlines\x1b[31m"))
        await wait_until(lambda: prompt.text == "two\nlines␛[31m", "the paste")


async def test_another_client_is_seen(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        other = Store(paths.conversations_file)
        other.new_conversation(system="", moderation=True, title="From elsewhere")
        other.close()
        await wait_until(lambda: titles(pilot) == ["From elsewhere"], "the other's conversation")


async def test_a_narrow_terminal_hides_the_list(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(50, 20)) as pilot:
        listed = pilot.app.query_one(ConversationList)
        assert not listed.display
        await pilot.press("ctrl+b")
        await wait_until(lambda: listed.display, "the list")
        await pilot.press("escape")
        await wait_until(lambda: not listed.display, "the list to go")


async def test_a_long_conversation_is_read_from_end_to_start(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    parent: int | None = None
    for number in range(700):
        parent = store.add_message(conversation.id, parent, "user", f"m{number}.").id
    store.close()
    async with run_app(ScriptedEngine(), open_session=conversation.id) as pilot:
        assert "m699." in shown(pilot)
        await wait_until(lambda: len(texts(pilot)) == 700, "the rest")
        assert "m699." in shown(pilot)
        seen: list[str] = []
        while "m0." not in shown(pilot):
            seen.append(shown(pilot))
            await pilot.press("pageup")
            await pilot.pause()
            assert shown(pilot) != seen[-1]
        assert all(any(f"m{n}." in page for page in seen) for n in range(20, 700))
        await pilot.press("alt+end")
        assert "m699." in shown(pilot)


async def test_four_key_hints_at_most(run_app: RunApp) -> None:
    for columns, idle, busy in (
        (120, "^n new  ^b list  f1 help  ^q quit", "esc stop  ^n new  ^b list  ^q quit"),
        (80, "f1 help  ^q quit", "esc stop  ^q quit"),
        (40, "", ""),
    ):
        engine = ScriptedEngine("One ", "two.")
        engine.pause_at = 1
        async with run_app(engine, size=(columns, 24)) as pilot:
            line = pilot.app.query_one(StatusLine)
            assert line.hints == idle
            await say(pilot, "Count")
            await wait_until(engine.paused.is_set, "the answer")
            assert line.hints == busy
            engine.go_on.set()
            await wait_until(lambda line=line, idle=idle: line.hints == idle, "the end")


@pytest.mark.parametrize("theme", [BAIZE_DARK, BAIZE_LIGHT])
async def test_the_theme_of_the_settings_is_on_the_screen(
    theme: Theme, run_app: RunApp, paths: Paths
) -> None:
    settings = Settings(look=LookSettings(theme=theme.name))
    async with run_app(ScriptedEngine(), settings=settings) as pilot:
        app = pilot.app
        assert app.screen.styles.background == Color.parse(theme.background or "")
        _, colour = app.query_one(Prompt).styles.border_left
        assert colour == Color.parse(theme.primary)
        assert app.has_class("-dark-mode") == theme.dark
        assert app.has_class("-light-mode") != theme.dark


async def test_the_person_and_the_model_are_told_apart_by_a_mark(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert "▌ Hi" in shown(pilot)
        assert "\n  One." in shown(pilot)
