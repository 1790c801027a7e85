"""Messages sent during an answer: queued, visible, editable, and sent when it ends."""

from __future__ import annotations

import msgspec
import pytest
from rich.cells import cell_len
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.widgets.queue_lines import ENTER_SENDS, queue_text
from baize_tui.engine.client import EngineFailure, WorkerDied
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from baize_tui.store.unsent import UnsentStore
from tests.app.pilot import RunApp, ask, ask_and_pause, client, screen, status, texts, titles
from tests.app.slow import Slow
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def queued(pilot: Pilot[int]) -> list[str]:
    """The lines of the queue on the screen, without those of the keys."""
    lines = screen(pilot).query_one("#queue", Static)
    if not lines.display:
        return []
    return [line for line in str(lines.render()).split("\n") if line.startswith(("↳", "…"))]


def waits(pilot: Pilot[int]) -> bool:
    return "enter sends" in str(screen(pilot).query_one("#queue", Static).render())


def written(pilot: Pilot[int]) -> str:
    return screen(pilot).prompt.shown_text


def paused_engine() -> ScriptedEngine:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    return engine


def go_on(engine: ScriptedEngine) -> None:
    """Let this answer end, and the next ones run through."""
    engine.pause_at = None
    engine.go_on.set()


def in_progress(pilot: Pilot[int]) -> bool:
    """Whether a turn is followed, or what comes after it is decided."""
    return any(worker.group.startswith("turn ") for worker in screen(pilot).workers)


async def enqueue(pilot: Pilot[int], *messages: str) -> None:
    for message in messages:
        before = len(queued(pilot))
        await pilot.press(*message, "enter")
        await wait_until(lambda n=before: len(queued(pilot)) > n, message)
        assert written(pilot) == ""


async def test_the_queue_says_which_model_answers(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        lines = screen(pilot).query_one("#queue", Static)
        assert "queued for scripted · alt+q edits" in str(lines.render())
        conversation = screen(pilot).view.conversation
        assert conversation is not None
        chosen = msgspec.structs.replace(conversation, model="other", model_path=None)
        await screen(pilot).conversation_view.change_options(chosen)
        assert "queued for other" in str(lines.render())
        await screen(pilot).conversation_view.change_options(conversation)
        await pilot.press("escape")
        await wait_until(lambda: waits(pilot), "the queue")
        assert "enter sends to scripted" in str(lines.render())


async def test_queued_messages_are_sent_one_after_the_other(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second", "third")
        assert queued(pilot) == ["↳ second", "↳ third"]
        assert texts(pilot) == ["first", "One "]
        go_on(engine)
        wanted = ["first", "One two.", "second", "One two.", "third", "One two."]
        await wait_until(lambda: texts(pilot) == wanted, "all answers")
        assert queued(pilot) == []


async def test_a_message_is_sent_if_the_answer_ends_while_it_is_queued(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        saving = Slow(monkeypatch, client(pilot).state.chat.drafts, "save")
        screen(pilot).prompt.insert("second")
        pilot.app.post_message(Key("enter", None))  # ``press`` would wait for the store
        await wait_until(saving.called.is_set, "the saving")
        go_on(engine)
        await wait_until(lambda: texts(pilot)[:2] == ["first", "One two."], "the end")
        await wait_until(lambda: not in_progress(pilot), "its end")
        saving.go_on.set()
        await wait_until(lambda: texts(pilot)[2:] == ["second", "One two."], "the second")
        assert queued(pilot) == []


async def test_a_message_that_is_being_removed_is_not_sent(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        removing = Slow(monkeypatch, client(pilot).state.chat.drafts, "remove")
        pilot.app.post_message(Key("alt+x", None))
        await wait_until(removing.called.is_set, "the removal")
        go_on(engine)
        await wait_until(lambda: not in_progress(pilot), "the end")
        removing.go_on.set()
        await wait_until(lambda: "removed" in status(pilot), "the removal")
        assert texts(pilot) == ["first", "One two."]


async def test_a_stopped_answer_lets_the_queue_wait(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second", "third")
        await pilot.press("escape")
        await wait_until(lambda: waits(pilot), "the queue to wait")
        assert queued(pilot) == ["↳ second", "↳ third"]
        engine.pause_at = None
        await pilot.press(*"between", "enter")
        await wait_until(lambda: texts(pilot)[2:] == ["between", "One two."], "the answer")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        assert queued(pilot) == ["↳ second", "↳ third"]
        await pilot.press("enter")
        wanted = ["second", "One two.", "third", "One two."]
        await wait_until(lambda: texts(pilot)[4:] == wanted, "the rest")
        assert queued(pilot) == []


@pytest.mark.parametrize(
    "failure", [WorkerDied("the model process was ended by SIGKILL"), EngineFailure("broken")]
)
async def test_a_failed_answer_lets_the_queue_wait(failure: EngineFailure, run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", failure)
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        engine.go_on.set()
        await wait_until(lambda: waits(pilot), "the queue to wait")
        engine.script, engine.pause_at = ["Fine."], None
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[2:] == ["second", "Fine."], "the answer")


@pytest.mark.parametrize("key", ["up", "alt+q", "click"])
async def test_a_queued_message_is_edited(key: str, run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second", "third")
        await (pilot.click("#queue") if key == "click" else pilot.press(key))
        await wait_until(lambda: written(pilot) == "third", "the message")
        assert queued(pilot) == ["↳ second"]
        await pilot.press(*" one", "enter")
        await wait_until(lambda: queued(pilot) == ["↳ second", "↳ third one"], "the change")
        go_on(engine)
        await wait_until(lambda: texts(pilot)[4:] == ["third one", "One two."], "the answer")


async def test_a_message_taken_back_keeps_the_draft(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        await pilot.press(*"draft", "alt+q")
        assert written(pilot) == "second\n\ndraft"


async def test_with_a_draft_enter_does_not_send_the_queue(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        await pilot.press("escape")
        await wait_until(lambda: waits(pilot), "the queue to wait")
        await pilot.press("x")
        await wait_until(lambda: not waits(pilot), "no hint")
        await pilot.press("backspace")
        await wait_until(lambda: waits(pilot), "the hint")


async def test_a_queued_message_is_removed_and_restored(run_app: RunApp, paths: Paths) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second", "third")
        await pilot.press("alt+x")
        await wait_until(lambda: queued(pilot) == ["↳ second"], "the removal")
        store = Store(paths.conversations_file)
        assert len(store.database.rows("SELECT * FROM unsent")) == 1
        await pilot.press("alt+z")
        await wait_until(lambda: queued(pilot) == ["↳ second", "↳ third"], "the undo")
        assert len(store.database.rows("SELECT * FROM unsent")) == 2
        store.close()


async def test_the_queue_belongs_to_its_conversation(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        await pilot.press("ctrl+n")
        assert queued(pilot) == []
        go_on(engine)
        await wait_until(lambda: len(engine.requests) == 2, "the second question")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its answer")
        assert texts(pilot) == []
        await pilot.press("ctrl+b", "down", "enter")
        wanted = ["first", "One two.", "second", "One two."]
        await wait_until(lambda: texts(pilot) == wanted, "both answers")
        assert titles(pilot) == ["first"]


async def test_the_queue_survives_a_restart_and_waits(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
    async with run_app(ScriptedEngine("Two."), open_session=conversation.id) as pilot:
        await wait_until(lambda: queued(pilot) == ["↳ second"], "the queue")
        assert waits(pilot)
        assert texts(pilot) == ["first", "One "]
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[2:] == ["second", "Two."], "the answer")
    async with run_app(ScriptedEngine("Two."), open_session=conversation.id) as pilot:
        await wait_until(lambda: len(texts(pilot)) == 4, "the conversation")
        assert queued(pilot) == []


async def test_a_deleted_conversation_returns_with_its_queue(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await enqueue(pilot, "second")
        await pilot.press("ctrl+b", "delete", "delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        await wait_until(lambda: not client(pilot).state.chat.busy, "the stop")
        assert queued(pilot) == []
        await pilot.press("alt+z")
        await wait_until(lambda: queued(pilot) == ["↳ second"], "the undo")
        assert waits(pilot)
        assert len(engine.requests) == 1


async def test_an_edit_is_not_queued(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One two.")
        engine.pause_at = 1
        await pilot.press("ctrl+r")
        await wait_until(lambda: texts(pilot) == ["Hi", "One "], "half the answer")
        await pilot.press("up")  # not during an answer
        assert written(pilot) == ""


async def test_a_message_that_cannot_be_queued_returns(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")

        def fail(*_: object) -> None:
            raise StoreFull("no space left on the disk")

        monkeypatch.setattr(UnsentStore, "save", fail)
        await pilot.press(*"second", "enter")
        await wait_until(lambda: written(pilot) == "second", "the words")
        assert "no space" in status(pilot)
        monkeypatch.undo()


async def test_a_command_runs_during_an_answer(run_app: RunApp) -> None:
    engine = paused_engine()
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press(*"/stop", "enter")
        await wait_until(lambda: not client(pilot).state.chat.busy, "the stop")
        assert queued(pilot) == []


@pytest.mark.parametrize("width", [8, 24, 50, 200])
def test_the_queue_fits_its_width(width: int) -> None:
    messages = ["x" * 300, "白泽" * 100, "log\n" * 60 + "why?", "a\tb", "more", "more"]
    text = queue_text(messages, width, state=ENTER_SENDS, edit="alt+q", remove="alt+x")
    assert max(map(cell_len, text.split("\n"))) <= width
    assert len(text.split("\n")) == 5
    if width > 30:
        assert "↳ why? (+60 lines)\n… 3 more\nwaiting" in text
