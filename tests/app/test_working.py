"""Marks, pins, folds, titles, the prompt and its cost, sizes of the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.widgets import Static

from baize_shared.progress import TimeLeft
from baize_tui.app.client import BaizeApp
from baize_tui.app.pastes import Pastes
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe, write_recipe
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, LookSettings, Settings
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from tests.app.looking import (
    RunApp,
    ask,
    ask_and_pause,
    catalog,
    client,
    say,
    screen,
    shown,
    status,
    texts,
    titles,
    transcript,
)
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until


async def test_an_answer_is_marked_and_the_mark_taken_back(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+g")
        await wait_until(lambda: "▲ good" in shown(pilot), "the mark")
        await pilot.press("alt+b")
        await wait_until(lambda: "▼ bad" in shown(pilot), "the other mark")
        conversations = client(pilot).chat.conversations
        (conversation,) = await conversations.list_all()
        assert (await conversations.shown_messages(conversation.id))[-1].mark == "bad"
        await pilot.press("alt+b")
        await wait_until(lambda: "bad" not in shown(pilot), "no mark")
        assert (await conversations.shown_messages(conversation.id))[-1].mark is None


async def test_a_question_is_not_marked(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+up", "alt+up", "alt+g")
        assert "good" not in shown(pilot)


async def test_a_pinned_turn_stays_when_older_ones_leave(run_app: RunApp) -> None:
    engine = ScriptedEngine("yes", n_ctx=120)
    chat = ChatSettings(system="", moderation=False, max_tokens=8)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        for number in range(4):
            await say(pilot, f"turn{number} " + "word " * 20)
            await wait_until(lambda n=number: len(texts(pilot)) == 2 * n + 2, "the answer")
            if number == 1:
                await pilot.press("alt+up", "alt+up", "alt+p", "escape")
                await wait_until(lambda: "pinned" in shown(pilot), "the pin")
        await say(pilot, "now " + "word " * 40)
        await wait_until(lambda: len(texts(pilot)) == 10, "the answer")
        prompt = engine.requests[-1].prompt.messages
        begins = [message.content.split()[0] for message in prompt if message.role == "user"]
        assert begins[0] == "turn1"
        assert "turn0" not in begins
        assert any("pinned turns only" in note for note in transcript(pilot).notes)


async def test_a_full_context_stops_where_that_was_chosen(run_app: RunApp) -> None:
    engine = ScriptedEngine("yes", n_ctx=60)
    chat = ChatSettings(system="", moderation=False, max_tokens=8, overflow="stop")
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await say(pilot, "one " + "word " * 30)
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await say(pilot, "two " + "word " * 30)
        await wait_until(lambda: "the context is full" in status(pilot), "the reason")
        assert len(engine.requests) == 2
        assert not any("no longer sees" in note for note in transcript(pilot).notes)


async def test_reasoning_streams_folded_and_opens_by_a_key(run_app: RunApp) -> None:
    engine = ScriptedEngine("<think>It is ", "known.</think>", "Paris.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "thinking · 2 words" in shown(pilot), "the thinking")
        engine.go_on.set()
        await wait_until(lambda: "▸ thought · 3 words" in shown(pilot), "the thought")
        assert "Paris." in shown(pilot)
        assert "known." not in shown(pilot)
        await pilot.press("alt+r")
        assert "│ It is known." in shown(pilot)
        await pilot.press("alt+r")
        assert "known." not in shown(pilot)


async def test_reasoning_is_open_where_that_is_set(run_app: RunApp) -> None:
    settings = Settings(look=LookSettings(reasoning="open"))
    engine = ScriptedEngine("<think>It is known.</think>Paris.")
    async with run_app(engine, settings=settings) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "│ It is known." in shown(pilot), "the thought")


async def test_a_click_opens_what_is_folded(run_app: RunApp) -> None:
    engine = ScriptedEngine("<think>It is known.</think>Paris.")
    async with run_app(engine) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "Paris." in shown(pilot), "the answer")
        line = next(y for y, row in enumerate(shown(pilot).split("\n")) if "thought" in row)
        await pilot.click("#transcript", offset=(6, line + 1))
        await wait_until(lambda: "│ It is known." in shown(pilot), "the thought")


async def test_a_click_chooses_a_message_and_walks_branches(run_app: RunApp) -> None:
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
        await wait_until(lambda: transcript(pilot).chosen is not None, "the choice")
        assert transcript(pilot).chosen is transcript(pilot).turns[0]
        assert pilot.app.focused is screen(pilot).prompt


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


async def test_the_model_finds_a_title_and_it_can_be_taken_back(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "hi there you", "One.")
        engine.script = ['"A Greeting"\n']
        await pilot.press("alt+t")
        await wait_until(lambda: titles(pilot) == ["A Greeting"], "the title")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["hi there you"], "the old title")
        assert texts(pilot) == ["hi there you", "One."]


async def test_no_title_leaves_the_old_one(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        engine.script = ['""']
        await pilot.press("alt+t")
        await wait_until(lambda: "found no title" in status(pilot), "the reason")
        assert titles(pilot) == ["Hi"]


# --- the prompt ---------------------------------------------------------------------------------


async def test_a_large_paste_is_one_mark_and_is_sent_whole(run_app: RunApp) -> None:
    pasted = "\n".join(f"line {number}" for number in range(500))
    async with run_app(ScriptedEngine("Yes.", n_ctx=9000)) as pilot:
        prompt = screen(pilot).prompt
        await pilot.press(*"see ")
        pilot.app.post_message(events.Paste(pasted))
        await wait_until(lambda: prompt.text == "see [paste 1: 500 lines]", "the mark")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[1:] == ["Yes."], "the answer")
        assert texts(pilot)[0] == f"see {pasted}"
        assert "488 more lines · alt+r unfolds" in shown(pilot)


async def test_backspace_takes_a_whole_mark(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = screen(pilot).prompt
        pilot.app.post_message(events.Paste("x" * 5000))
        await wait_until(lambda: prompt.text == "[paste 1: 5000 characters]", "the mark")
        await pilot.press("backspace")
        assert prompt.text == ""


def test_brackets_that_are_no_paste_stay() -> None:
    pastes = Pastes()
    assert pastes.expand("[paste 1: 3 lines] [x]") == "[paste 1: 3 lines] [x]"
    mark = pastes.collapse("a\nb\nc")
    assert pastes.expand(f"{mark} [paste 2: 1 lines]") == "a\nb\nc [paste 2: 1 lines]"


async def test_a_slash_is_completed_by_tab(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"/mod")
        prompt = screen(pilot).prompt
        assert prompt.suggestion == "el"
        await pilot.press("e", "r", "backspace", "backspace", *"er")
        assert prompt.suggestion == "ation"
        await pilot.press("tab", "enter")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")


async def test_undoing_what_was_typed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"one", "ctrl+underscore")
        assert screen(pilot).prompt.text == ""


async def test_the_cost_of_a_draft_is_seen_before_it_is_sent(run_app: RunApp) -> None:
    chat = ChatSettings(system="be brief", moderation=False, max_tokens=10)
    engine = ScriptedEngine("yes", n_ctx=60)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await pilot.press(*"one two three")
        await wait_until(lambda: "5/60 with this" in status(pilot), "the count")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[1:] == ["yes"], "the answer")
        await pilot.press(*"four")
        await wait_until(lambda: "7/60 with this" in status(pilot), "the count with all before")
        pilot.app.post_message(events.Paste(" word" * 50))
        await wait_until(lambda: "oldest turns leave" in status(pilot), "the warning")


async def test_a_cleared_draft_costs_nothing_at_once(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"one")
        await wait_until(lambda: "with this" in status(pilot), "the count")
        monkeypatch.setattr("baize_tui.app.conversation_screen.COUNT_AFTER_S", 3600)
        await pilot.press(*["backspace"] * 3)
        await wait_until(lambda: "with this" not in status(pilot), "no cost")


async def test_the_cost_follows_an_edit(run_app: RunApp) -> None:
    chat = ChatSettings(system="", moderation=False)
    async with run_app(ScriptedEngine("yes"), settings=Settings(chat=chat)) as pilot:
        await ask(pilot, "one two", "yes")
        await pilot.press("up", *" three", "enter")
        await wait_until(lambda: texts(pilot) == ["one two three", "yes"], "the branch")


# --- what goes on -------------------------------------------------------------------------------


async def test_who_reads_above_is_told_that_more_has_come(run_app: RunApp) -> None:
    engine = ScriptedEngine("line\n\n" * 60, "end")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        more = screen(pilot).query_one("#more", Static)
        await say(pilot, "Count")
        await wait_until(lambda: "line" in shown(pilot), "half the answer")
        assert not more.display
        await pilot.press("pageup")
        await wait_until(lambda: more.display, "the mark")
        await pilot.click("#more")
        await wait_until(lambda: not more.display, "its end")
        engine.go_on.set()
        await wait_until(lambda: "end" in shown(pilot), "the answer")


async def test_a_resize_while_it_streams(run_app: RunApp) -> None:
    engine = ScriptedEngine(*(f"word{number} " for number in range(60)))
    engine.pause_at = 30
    async with run_app(engine) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "word29" in shown(pilot), "half the answer")
        for size in ((50, 20), (130, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await wait_until(lambda s=size: pilot.app.size.width == s[0], "the resize")
            assert "word29" in shown(pilot)
        engine.go_on.set()
        await wait_until(lambda: "word59" in shown(pilot), "the answer")


async def test_too_small_a_terminal_says_so_and_recovers(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        notice = screen(pilot).query_one("#too-small", Static)
        await pilot.press(*"draft")
        await pilot.resize_terminal(20, 5)
        await wait_until(lambda: notice.display, "the notice")
        assert "20x5 is too small" in str(notice.render())
        await pilot.resize_terminal(80, 24)
        await wait_until(lambda: not notice.display, "its end")
        assert screen(pilot).prompt.text == "draft"


async def test_stopping_an_answer_that_waits_for_another(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press("ctrl+n")
        await say(pilot, "second")
        await wait_until(lambda: texts(pilot) == ["second"], "the other question")
        await pilot.press("escape")
        await wait_until(lambda: "stopped before it began" in status(pilot), "the stop")
        engine.go_on.set()
        await wait_until(lambda: not client(pilot).chat.busy, "the first answer")
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["second", "One two."], "its answer")


async def test_two_conversations_answer_one_after_the_other(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press("ctrl+n")
        await say(pilot, "second")
        await wait_until(lambda: texts(pilot) == ["second"], "the other question")
        assert len(engine.requests) == 1
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["second", "One two."], "the second answer")


async def test_a_conversation_goes_on_with_its_own_model(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"weights")
    write_recipe("own", Recipe(file=str(file)), paths)
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, model="own", title="T")
    store.close()
    async with run_app(ScriptedEngine("Yes."), open_session=conversation.id) as pilot:
        await ask(pilot, "Hi", "Yes.")
        running = client(pilot).chat.active_model.model
        assert running is not None
        assert running.name == "own"


async def test_a_model_that_is_gone_is_said_and_another_answers(
    run_app: RunApp, paths: Paths
) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, model="gone", title="T")
    store.close()
    async with run_app(ScriptedEngine("Yes."), open_session=conversation.id) as pilot:

        def find(name: str | None) -> CatalogModel:
            if name == "gone":
                raise CatalogError("the file of gone is gone")
            return model()

        catalog(pilot).find_model = find
        await ask(pilot, "Hi", "Yes.")
        said = [notice.message for notice in pilot.app._notifications]
        assert any("Another model answered" in message for message in said)


async def test_a_failing_load_of_the_own_model_is_one_line(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, model="own", title="T")
    store.close()
    engine = ScriptedEngine("Yes.")
    async with run_app(engine, open_session=conversation.id) as pilot:
        engine.load_failure = EngineFailure("own.gguf is not a GGUF file", "load")
        await say(pilot, "Hi")
        await wait_until(lambda: "not a GGUF file" in status(pilot), "the reason")
        assert texts(pilot) == ["Hi"]
        engine.load_failure = None
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["Hi", "Yes."], "the answer")


def test_time_left_is_told_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("baize_shared.progress.monotonic", lambda: now)
    left = TimeLeft()
    assert left.after(0.0) == ""
    now += 0.1
    assert left.after(0.05) == ""
    now += 1.9
    assert left.after(0.25) == "6 s left"
    now += 200.0
    assert left.after(0.30) == "8 min left"


@pytest.mark.parametrize("key", ["alt+g", "alt+p", "alt+d", "ctrl+t"])
async def test_what_cannot_be_written_down_is_said_and_the_client_goes_on(
    key: str, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("no space left on the disk")

    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await wait_until(lambda: not client(pilot).chat.busy, "its end")
        for write in ("set_mark", "set_pinned", "delete_message", "set_options"):
            monkeypatch.setattr(Store, write, full)
        await pilot.press(key)
        await wait_until(lambda: "no space left" in status(pilot), "the reason")
        assert texts(pilot) == ["Hi", "One."]


async def test_quitting_in_mid_answer_reads_nothing_once_the_store_is_closed(
    run_app: RunApp,
) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        await pilot.press(*"a draft", "ctrl+q")
        await wait_until(lambda: engine.closed, "the end")
        assert pilot.app.return_code == 0


async def test_the_palette_opens_by_a_click_on_the_status_line(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.click("#status-text", offset=(3, 0))
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the palette")


async def test_a_question_asked_while_the_model_loads_is_kept_at_once(
    paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    engine = ScriptedEngine("One.")
    engine.loaded_to = 0.5
    store = Store(paths.conversations_file)
    scripted = ScriptedCatalog(lambda name: model(str(file)))
    chat = Chat(StoreThread(store), engine, Settings(), paths.cache, scripted)
    async with BaizeApp(chat, paths).run_test() as pilot:
        await engine.paused.wait()
        await say(pilot, "Hi")
        await wait_until(lambda: store.questions() == ["Hi"], "the question")
        await wait_until(lambda: texts(pilot) == ["Hi"], "it on the screen")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the answer")
        await client(pilot).action_quit()
