"""Words that are not sent: they survive whatever else the person does."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import pytest
from textual import events
from textual.pilot import Pilot

from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreError, StoreFull
from baize_tui.store.records import Paste, Unsent, parts_text
from baize_tui.store.unsent import UnsentStore
from tests.app.pilot import RunApp, ask, catalog, client, say, screen, status, texts, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import PATIENCE_S, wait_until

LOG = "\n".join(f"line {number}" for number in range(61))


def written(pilot: Pilot[int]) -> str:
    return screen(pilot).prompt.shown_text


async def paste(pilot: Pilot[int], text: str) -> None:
    before = screen(pilot).prompt.text
    pilot.app.post_message(events.Paste(text))
    await wait_until(lambda: screen(pilot).prompt.text != before, "the paste")


async def edit_and_cancel(pilot: Pilot[int]) -> None:
    await pilot.press("alt+e", *" no", "escape")


async def browse_history(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+up")
    await wait_until(lambda: written(pilot) == "Hi", "the earlier message")
    await pilot.press("ctrl+down")


async def browse_and_change_history(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+up")
    await wait_until(lambda: written(pilot) == "Hi", "the earlier message")
    await pilot.press(*" you", "escape")


async def switch(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+n")
    await wait_until(lambda: texts(pilot) == [], "a new conversation")
    assert written(pilot) == ""
    await pilot.press(*"other words")
    await pilot.press("ctrl+b", "down", "enter")
    await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the one before")


async def delete_and_undo(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+b", "delete", "delete")
    await wait_until(lambda: titles(pilot) == [], "the deletion")
    assert written(pilot) == ""
    await pilot.press("alt+z")
    await wait_until(lambda: titles(pilot) == ["Hi"], "the undo")


async def delete_an_answer(pilot: Pilot[int]) -> None:
    await pilot.press("alt+d")
    await wait_until(lambda: texts(pilot) == ["Hi"], "the deletion")


async def regenerate(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+r")
    await wait_until(
        lambda: any(turn.branch for turn in screen(pilot).transcript.turns[-1:]), "branches"
    )


async def resize(pilot: Pilot[int]) -> None:
    for size in ((31, 10), (140, 50)):
        await pilot.resize_terminal(*size)
        await wait_until(lambda s=size: pilot.app.size.width == s[0], "the resize")


async def undo_everything(pilot: Pilot[int]) -> None:
    await pilot.press(*["ctrl+underscore"] * 9)
    await pilot.press(*["ctrl+y"] * 9)


EVENTS: dict[str, Callable[[Pilot[int]], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        edit_and_cancel,
        browse_history,
        browse_and_change_history,
        switch,
        delete_and_undo,
        delete_an_answer,
        regenerate,
        resize,
        undo_everything,
    )
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("pasted", [False, True])
async def test_a_draft_survives(event: str, pasted: bool, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"my words")
        if pasted:
            await paste(pilot, LOG)
        before, text = written(pilot), screen(pilot).prompt.draft
        await EVENTS[event](pilot)
        await wait_until(lambda: written(pilot) == before, "the draft")
        assert screen(pilot).prompt.draft == text


async def test_drafts_survive_a_restart(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"of this one ")
        await paste(pilot, LOG)
        await pilot.press("ctrl+n", *"of a new one")
    async with run_app(ScriptedEngine("One.")) as pilot:
        assert written(pilot) == "of a new one"
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the conversation")
        assert written(pilot) == "of this one [paste 1: 61 lines]"
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[2:] == [f"of this one {LOG}", "One."], "the answer")
    store = Store(paths.conversations_file)
    assert [parts_text(u.parts) for u in store.unsent.take_over(None)] == ["of a new one"]
    assert len(store.database.rows("SELECT id FROM unsent")) == 1
    store.close()


async def test_a_draft_is_stored_without_quitting(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press(*"my words")
        store = Store(paths.conversations_file)

        def stored() -> list[str]:
            return [row["parts"] for row in store.database.rows("SELECT parts FROM unsent")]

        await wait_until(lambda: stored() == ['["my words"]'], "the draft")
        await pilot.press("backspace")
        await wait_until(lambda: stored() == ['["my word"]'], "the change")
        await pilot.press("ctrl+u")
        await wait_until(lambda: stored() == [], "the end of it")
        store.close()


async def test_an_edit_is_continued(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"draft", "alt+e", *" you", "escape")
        assert written(pilot) == "draft"
        assert "alt+e continues it" in status(pilot)
        await pilot.press("alt+e")
        assert written(pilot) == "Hi you"
        await pilot.press("ctrl+underscore")
        assert written(pilot) == "Hi"
        await pilot.press("ctrl+y", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi you", "One."], "the new branch")
        assert written(pilot) == "draft"


async def test_an_edit_survives_a_restart(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"draft", "alt+e", *" you")
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
    async with run_app(ScriptedEngine("Two."), open_session=conversation.id) as pilot:
        await wait_until(lambda: written(pilot) == "Hi you", "the edit")
        assert "editing" in status(pilot)
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == ["Hi you", "Two."], "the new branch")
        assert written(pilot) == "draft"


async def test_a_changed_earlier_message_is_kept(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await ask(pilot, "Bye", "One.")

        async def recall(key: str, text: str) -> None:
            await pilot.press(key)
            await wait_until(lambda: written(pilot) == text, text)

        await pilot.press(*"draft")
        await recall("ctrl+up", "Bye")
        await pilot.press(*" now")
        for key, text in (
            ("ctrl+up", "Hi"),
            ("ctrl+down", "Bye"),
            ("ctrl+down", "Bye now"),
            ("ctrl+down", "draft"),
            ("ctrl+up", "Bye now"),
        ):
            await recall(key, text)
        await pilot.press("escape")
        assert "ctrl+up shows them" in status(pilot)
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
    async with run_app(ScriptedEngine("Two."), open_session=conversation.id) as pilot:
        await wait_until(lambda: written(pilot) == "draft", "the draft")
        await pilot.press("ctrl+up")
        await wait_until(lambda: written(pilot) == "Bye now", "the earlier message")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[4:] == ["Bye now", "Two."], "the answer")
        assert written(pilot) == "draft"
        await pilot.press("ctrl+up", "ctrl+up")
        await wait_until(lambda: written(pilot) == "Bye", "the earlier message")


async def test_an_edit_is_left_when_another_branch_is_shown(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+r")
        await wait_until(
            lambda: any(turn.branch for turn in screen(pilot).transcript.turns[-1:]), "branches"
        )
        await pilot.press("alt+e", *" you", "alt+left")
        await wait_until(lambda: written(pilot) == "", "the draft")
        await pilot.press(*"new", "enter")
        await wait_until(lambda: texts(pilot)[2:3] == ["new"], "a new message")


async def test_options_of_a_new_conversation_keep_its_draft(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press(*"my words", "ctrl+t")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")
        await pilot.press("ctrl+n")
        assert written(pilot) == ""
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: written(pilot) == "my words", "the draft")


async def test_drafts_of_two_clients_are_both_kept(run_app: RunApp, paths: Paths) -> None:
    other = Store(paths.conversations_file)
    other.unsent.save(Unsent("a", "draft", None, ("theirs",)))
    async with run_app(ScriptedEngine("One.")) as pilot:
        assert written(pilot) == ""
        await pilot.press(*"ours")
    other.close()
    async with run_app(ScriptedEngine("One.")) as pilot:
        assert written(pilot) == "theirs\n\nours"
    async with run_app(ScriptedEngine("One.")) as pilot:
        assert written(pilot) == "theirs\n\nours"


async def test_undo_brings_back_what_was_sent(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await paste(pilot, LOG)
        await pilot.press(*"why", "enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await pilot.press("ctrl+underscore")
        assert written(pilot) == "[paste 1: 61 lines]why"
        assert screen(pilot).prompt.draft == f"{LOG}why"


async def test_what_was_sent_leaves_one_step_to_undo(run_app: RunApp) -> None:
    """However many keys it took, so that a client that runs for days does not grow."""
    async with run_app(ScriptedEngine("One.")) as pilot:
        for question in ("Why is it so?", "And why not?"):
            await pilot.press(*question, "backspace", "?", "enter")
            await wait_until(lambda: not screen(pilot).answers.in_progress, "the answer")
            assert len(screen(pilot).prompt.history.undo_stack) == 1
        await pilot.press("enter", "ctrl+underscore", "ctrl+underscore")
        assert written(pilot) == "And why not?"


async def test_undo_stays_in_its_conversation(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"words", "ctrl+n", *["ctrl+underscore"] * 9)
        assert written(pilot) == ""


async def test_letters_typed_after_enter_are_the_next_message(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        for key in (*"one", "enter", *"two"):
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await wait_until(lambda: texts(pilot) == ["one", "One."], "the answer")
        assert written(pilot) == "two"


@pytest.mark.parametrize("keys", [["enter"], ["enter", "x"], ["enter", "x", "enter"]])
async def test_quitting_right_after_enter_loses_nothing(
    keys: list[str], run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press(*"my words")
        for key in keys:
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await client(pilot).action_quit()
    store = Store(paths.conversations_file)
    messages = [row["text"] for row in store.database.rows("SELECT text FROM message")]
    parts = [row["parts"] for row in store.database.rows("SELECT parts FROM unsent")]
    store.close()
    assert "my words" in "".join([*messages, *parts])


async def test_without_a_model_the_words_stay(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:

        def find_none(name: str | None) -> CatalogModel:
            raise CatalogError("none")

        catalog(pilot).find_model = find_none
        state = client(pilot).state
        state.chat.active_model.running = None
        state.model = None
        await say(pilot, "my words")
        await wait_until(lambda: "there is no model" in status(pilot), "the reason")
        assert written(pilot) == "my words"


@pytest.mark.parametrize("edits", [False, True])
async def test_a_message_that_cannot_be_saved_returns(
    edits: bool, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")

        typed = threading.Event()

        def fail(*_: object, **__: object) -> None:
            typed.wait(PATIENCE_S)
            raise StoreFull("no space left on the disk")

        with monkeypatch.context() as full:
            full.setattr(Store, "add_message", fail)
            await pilot.press(*(["alt+e", *" you"] if edits else "next"), "enter", *"later")
            assert written(pilot) == "later"
            typed.set()
            await wait_until(lambda: "no space" in status(pilot), "the reason")
            wanted = "Hi you" if edits else "next\n\nlater"
            await wait_until(lambda: written(pilot) == wanted, "the words")
            assert texts(pilot) == ["Hi", "One."]
        if edits:
            await pilot.press("enter")
            await wait_until(lambda: texts(pilot) == ["Hi you", "One."], "the new branch")
            assert written(pilot) == "later"


async def test_a_draft_is_saved_once_the_disk_has_space(
    run_app: RunApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:

        def fail(*_: object) -> None:
            raise StoreFull("no space left on the disk")

        with monkeypatch.context() as full:
            full.setattr(UnsentStore, "save", fail)
            await pilot.press(*"my words")
            await wait_until(lambda: "not saved yet" in status(pilot), "the problem")
            await client(pilot).action_quit()  # not without a second press
            assert pilot.app.is_running
        store = Store(paths.conversations_file)
        await wait_until(lambda: len(store.database.rows("SELECT * FROM unsent")) == 1, "the draft")
        store.close()


async def test_a_store_that_cannot_be_read_keeps_what_is_typed(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("database is locked")

    monkeypatch.setattr(UnsentStore, "take_over", fail)
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press(*"my words")
        assert written(pilot) == "my words"


async def test_words_saved_by_other_versions_are_shown(run_app: RunApp, paths: Paths) -> None:
    """Whatever the store has: an edit of a deleted message, pastes with characters of ours."""
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    message = store.add_message(conversation.id, None, "user", "Hi")
    store.delete_message(message.id)
    for unsent in (
        Unsent("a", "edit", conversation.id, ("Hi you",), message.id, is_open=True),
        Unsent("b", "draft", conversation.id, ("x \ufdd0\ufde5 \x1b", Paste("\ufdd0\n" * 30))),
        Unsent("c", "recalled", conversation.id, ("recalled",)),
        Unsent("d", "queued", conversation.id, ("queued\x1b",)),
    ):
        store.unsent.save(unsent)
    with store.database.transaction() as connection:
        connection.execute("UPDATE unsent SET parts = 'no JSON' WHERE id = 'a'")
    store.close()
    async with run_app(ScriptedEngine("One."), open_session=conversation.id) as pilot:
        await pilot.press("ctrl+up")
        await wait_until(lambda: written(pilot) == "recalled", "the words")
        await pilot.press("escape")
        assert written(pilot) == "x �� ␛[paste 1: 31 lines]"
        assert "queued␛" in str(screen(pilot).queue_lines.render())
        await pilot.press("alt+r")
        assert written(pilot) == "x �� ␛" + "�\n" * 30
