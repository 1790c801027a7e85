"""Exporting and importing from the client."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input, Static

from baize_tui.app.conversation.transfers import NOTHING_TO_EXPORT
from baize_tui.app.screens.export_dialog import ExportDialog
from baize_tui.app.screens.import_dialog import ImportDialog
from baize_tui.app.widgets.choice_lists import ChoiceSelect
from baize_tui.paths import Paths
from baize_tui.store.backups import back_up, restore
from baize_tui.store.conversations import Store
from tests.app.pilot import (
    RunApp,
    ask,
    ask_and_pause,
    is_open,
    notices,
    screen,
    status,
    texts,
    titles,
)
from tests.chat import foreign_exports as foreign
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def open_dialog(pilot: Pilot[int], key: str, kind: type[ExportDialog | ImportDialog]) -> None:
    await pilot.press(key)
    await wait_until(lambda: is_open(pilot, kind), "the dialog")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")


def state(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("#state", Static).render())


async def enter_path(pilot: Pilot[int], path: Path) -> None:
    line = pilot.app.screen.query_one(Input)
    line.focus()
    line.value = str(path)
    await pilot.press("enter")


async def closed(pilot: Pilot[int]) -> None:
    await wait_until(lambda: pilot.app.screen is screen(pilot), "the closed dialog")


async def test_the_open_conversation_is_exported(run_app: RunApp, tmp_path: Path) -> None:
    target = tmp_path / "talk.json"
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await open_dialog(pilot, "alt+o", ExportDialog)
        line = pilot.app.screen.query_one(Input)
        assert line.value.startswith("~/hi-")
        assert line.value.endswith(".md")
        pilot.app.screen.query_one("#format", ChoiceSelect).value = "json"
        await wait_until(lambda: line.value.endswith(".json"), "the other name")
        await enter_path(pilot, target)
        await closed(pilot)
        await wait_until(lambda: f"exported to {target}" in status(pilot), "the message")
        (session,) = json.loads(target.read_bytes())["sessions"]
        assert [m["text"] for m in session["messages"]] == ["Hi", "One."]


async def test_a_file_is_replaced_after_a_second_enter(run_app: RunApp, tmp_path: Path) -> None:
    target = tmp_path / "talk.md"
    target.write_text("mine")
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await open_dialog(pilot, "alt+o", ExportDialog)
        await enter_path(pilot, target)
        await wait_until(lambda: "enter again replaces it" in state(pilot), "the warning")
        assert target.read_text() == "mine"
        await pilot.press("enter")
        await closed(pilot)
        await wait_until(lambda: "exported to" in status(pilot), "the message")
        assert "One." in target.read_text()


async def test_all_conversations_are_exported_as_pages(run_app: RunApp, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+n")
        await ask(pilot, "Ho", "One.")
        await open_dialog(pilot, "alt+o", ExportDialog)
        pilot.app.screen.query_one("#scope", ChoiceSelect).value = True
        pilot.app.screen.query_one("#format", ChoiceSelect).value = "html"
        line = pilot.app.screen.query_one(Input)
        await wait_until(lambda: line.value == "~/conversations/", "the folder")
        await enter_path(pilot, folder)
        await wait_until(lambda: f"2 files in {folder}" in status(pilot), "the message")
        assert len(list(folder.iterdir())) == 2


async def test_a_file_that_cannot_be_written_is_said(run_app: RunApp, tmp_path: Path) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await open_dialog(pilot, "alt+o", ExportDialog)
        await enter_path(pilot, tmp_path / "missing" / "talk.md")
        await wait_until(lambda: "No such file" in status(pilot), "the reason")


async def test_there_is_nothing_to_export_at_first(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        await pilot.press("alt+o")
        await wait_until(lambda: NOTHING_TO_EXPORT in notices(pilot), "the notice")


async def test_a_conversation_is_imported_and_opened(run_app: RunApp, tmp_path: Path) -> None:
    file = tmp_path / "my conversations.json"
    file.write_text(json.dumps([foreign.chatgpt_2023()]))
    async with run_app(ScriptedEngine()) as pilot:
        await open_dialog(pilot, "f12", ImportDialog)
        await enter_path(pilot, tmp_path / "missing.json")
        await wait_until(lambda: "No such file" in state(pilot), "the problem")
        await enter_path(pilot, file)
        await closed(pilot)
        await wait_until(lambda: texts(pilot) == ["Name a prime.", "7", "Another?", "11"], "it")
        await wait_until(lambda: titles(pilot) == ["Primes"], "the list")
        assert "imported 1 conversation from ChatGPT" in status(pilot)


async def test_what_an_import_could_not_keep_is_said(run_app: RunApp, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps([foreign.chatgpt_2025(), {**foreign.chatgpt_2023(), "id": "b"}]))
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        await open_dialog(pilot, "f12", ImportDialog)
        await enter_path(pilot, file)
        await closed(pilot)
        await wait_until(lambda: "left out: 1 hidden message" in notices(pilot), "the notice")


async def test_a_backup_is_made_and_restored_while_an_answer_streams(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    backup, foreign_backup = tmp_path / "backup.db", tmp_path / "foreign.db"
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        other.new_conversation(system="", moderation=True, title="From elsewhere")
        back_up(other.database, foreign_backup)
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        with contextlib.closing(Store(paths.conversations_file)) as command:
            back_up(command.database, backup)
            restore(command.database, foreign_backup)
        await wait_until(lambda: len(titles(pilot)) == 2, "the restored conversation")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Count", "One two."], "the rest of the answer")
    with contextlib.closing(Store(tmp_path / "new" / "conversations.db")) as restored:
        restore(restored.database, backup)
        (conversation,) = restored.conversations()
        states = [message.state for message in restored.shown_messages(conversation.id)]
        assert states == ["complete", "interrupted"]
