"""Files in the client: the list while a path is typed, the object in the prompt, and the chip."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from baize_tui.app.screens.described_picker import DescribedPicker
from baize_tui.app.screens.variables import VariablesScreen
from baize_tui.chat.attaching import Attached, Attaching
from baize_tui.paths import Paths
from tests.app.pilot import RunApp, ask, client, is_open, screen, shown, status, texts, transcript
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until

AT = "at"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some files."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "notes.txt").write_text("The meeting is at noon.")
    (folder / "src/main.py").write_text("print(1)")
    (folder / "logo.png").write_bytes(b"\x89PNG\0")
    (folder / "key.pem").write_text("secret")
    (folder / "person.json").write_text('{"required": ["age"]}')
    monkeypatch.chdir(folder)
    return folder


def written(pilot: Pilot[int]) -> str:
    return screen(pilot).prompt.shown_text


def offered(pilot: Pilot[int]) -> list[str]:
    rows = screen(pilot).offers
    return [str(rows.get_option_at_index(i).prompt) for i in range(rows.option_count)]


async def type_mention(pilot: Pilot[int], path: str, first: str) -> None:
    """Type ``@path``, and see ``first`` as the first of the list."""
    keys = {"/": "slash", ".": "full_stop", "*": "asterisk"}
    await pilot.press(AT, *(keys.get(letter, letter) for letter in path))
    await wait_until(lambda: offered(pilot)[:1] == [first], f"{first} in the list")


async def test_a_file_is_chosen_and_sent(run_app: RunApp, folder: Path) -> None:
    engine = ScriptedEngine("At noon.")
    async with run_app(engine) as pilot:
        await pilot.press(*"When", "space")
        await type_mention(pilot, "nt", "notes.txt")
        await pilot.press("tab")
        await wait_until(lambda: "[notes.txt: 8 tokens]" in written(pilot), "the object")
        assert not screen(pilot).offers.display
        await pilot.press("enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert "▤ notes.txt · 8 tokens" in shown(pilot)
        assert "The meeting" not in shown(pilot)
        asked = engine.requests[0].prompt.messages[-1].content
        assert asked == 'When <file name="notes.txt">\nThe meeting is at noon.\n</file>'
        await pilot.press("alt+r")
        await wait_until(lambda: "The meeting" in shown(pilot), "the text")
        (folder / "notes.txt").unlink()
        await pilot.press("alt+e")
        await wait_until(lambda: "[notes.txt: 8 tokens]" in written(pilot), "the edit")
        await pilot.press(*"?", "enter")
        await wait_until(lambda: len(engine.requests) == 2, "the second question")
        assert engine.requests[1].prompt.messages[-1].content == f"{asked}?"


async def test_tab_means_the_files_for_all_that_is_typed(run_app: RunApp, folder: Path) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await type_mention(pilot, "s", "src/")
        for key in ("backspace", "n", "o", "t"):
            pilot.app.screen.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.press("tab")
        await wait_until(lambda: "[notes.txt: 8 tokens]" in written(pilot), "the object")


@pytest.fixture
def slow_files(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Files are read only once this is set."""
    read, go_on = Attaching.attach, asyncio.Event()

    async def read_later(*arguments: Any, **named: Any) -> Attached:
        await go_on.wait()
        return await read(*arguments, **named)

    monkeypatch.setattr(Attaching, "attach", read_later)
    return go_on


async def test_a_message_waits_for_its_file(
    run_app: RunApp, folder: Path, slow_files: asyncio.Event
) -> None:
    engine = ScriptedEngine("At noon.")
    async with run_app(engine) as pilot:
        await type_mention(pilot, "nt", "notes.txt")
        await pilot.press("tab")
        await wait_until(lambda: "reading notes.txt" in status(pilot), "the reading")
        await pilot.press("enter")
        await wait_until(lambda: "notes.txt is still being read" in status(pilot), "the reason")
        assert "@nt" in written(pilot)
        slow_files.set()
        await wait_until(lambda: "[notes.txt: 8 tokens]" in written(pilot), "the object")
        await pilot.press("enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert "The meeting is at noon." in engine.requests[0].prompt.messages[-1].content


async def test_a_file_stays_out_of_a_conversation_opened_meanwhile(
    run_app: RunApp, folder: Path, slow_files: asyncio.Event
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await type_mention(pilot, "nt", "notes.txt")
        await pilot.press("tab", "ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        slow_files.set()
        await wait_until(lambda: "notes.txt was not attached" in status(pilot), "the reason")
        assert written(pilot) == ""


async def test_a_folder_is_entered_or_attached_as_a_whole(run_app: RunApp, folder: Path) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await type_mention(pilot, "src", "src/")
        await pilot.press("tab")
        await wait_until(lambda: "src/main.py" in offered(pilot), "what is in it")
        assert written(pilot) == "@src/"
        await pilot.press("down", "enter")
        await wait_until(lambda: "[src/main.py: " in written(pilot), "the file")
        await type_mention(pilot, "src/", "src/ · all text files in it")
        await pilot.press("tab")
        await wait_until(lambda: "[src/ (1 file): " in written(pilot), "the folder")
        await type_mention(pilot, "*.txt", "*.txt · 1 file")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "text", ["ada@example.org", "@notes.txt", "a @property of it", "@nothing here", "@ alone"]
)
async def test_what_is_not_chosen_stays_text(text: str, run_app: RunApp, folder: Path) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        keys = {"@": AT, " ": "space", ".": "full_stop"}
        await pilot.press(*(keys.get(letter, letter) for letter in text), "enter")
        await wait_until(lambda: texts(pilot) == [text, "Yes."], "the answer")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("logo.png", "it is not text"),
        ("gone.txt", "there is no such file"),
        ("/dev/zero", "not a regular file"),
    ],
)
async def test_what_cannot_be_attached_loses_nothing(
    path: str, why: str, run_app: RunApp, folder: Path
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        screen(pilot).prompt.insert(f"my words @{path}")
        await pilot.pause()  # what is typed clears the status line
        screen(pilot).parts.attaching.attach(path, path)
        await wait_until(lambda: why in status(pilot), "the reason")
        assert written(pilot) == f"my words @{path}"


async def test_a_secret_is_attached_the_second_time(run_app: RunApp, folder: Path) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await type_mention(pilot, "key", "key.pem")
        await pilot.press("tab")
        await wait_until(lambda: "looks like a secret" in status(pilot), "the warning")
        assert written(pilot) == "@key"
        await pilot.press("backspace")
        await wait_until(lambda: offered(pilot)[:1] == ["key.pem"], "the list")
        await pilot.press("tab")
        await wait_until(lambda: "[key.pem: " in written(pilot), "the object")


async def test_esc_closes_the_list_and_keeps_the_words(run_app: RunApp, folder: Path) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await type_mention(pilot, "no", "notes.txt")
        await pilot.press("escape")
        await wait_until(lambda: not screen(pilot).offers.display, "the end of the list")
        await pilot.press("up", "enter")
        await wait_until(lambda: texts(pilot)[:1] == ["@no"], "the message")


async def test_a_draft_with_a_file_and_a_form_comes_back(
    run_app: RunApp, paths: Paths, folder: Path
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("slash", *"json", "space", *"person", "full_stop", *"json", "enter")
        await wait_until(lambda: "[JSON person.json]" in written(pilot), "the form")
        await pilot.press(*"Who")
        screen(pilot).parts.attaching.attach("notes.txt")
        await wait_until(lambda: "[notes.txt: " in written(pilot), "the file")
        before = screen(pilot).prompt.parts
    async with run_app(ScriptedEngine()) as pilot:
        assert screen(pilot).prompt.parts == before


async def test_the_answer_to_a_form_is_checked_and_in_colours(
    run_app: RunApp, folder: Path
) -> None:
    engine = ScriptedEngine('{"age": 36}')
    async with run_app(engine) as pilot:
        await pilot.press("slash", *"json", "space", *"person", "full_stop", *"json", "enter")
        await wait_until(lambda: "[JSON person.json]" in written(pilot), "the form")
        await pilot.press("enter")
        await wait_until(lambda: "type the message" in status(pilot), "what is missing")
        await pilot.press("end", *"Who", "enter")
        await wait_until(lambda: "✓ JSON person.json" in shown(pilot), "the check")
        assert transcript(pilot).turns[-1].markdown == '```json\n{"age": 36}\n```'
        engine.script = ['{"name": 1}']
        await pilot.press("ctrl+r")
        await wait_until(lambda: "✗ JSON person.json: data must" in shown(pilot), "the problem")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/regex (", "not a regular expression"),
        ("/json notes.txt", "the schema is not JSON"),
        ("/grammar gone", "No such file"),
        ("/persona nobody", "no persona is called"),
        ("/prompts nothing", "no prompt is called"),
    ],
)
async def test_a_wrong_argument_is_one_line(
    command: str, why: str, run_app: RunApp, folder: Path
) -> None:
    async with run_app(ScriptedEngine(), size=(160, 30)) as pilot:
        screen(pilot).prompt.insert(command)
        await pilot.press("enter")
        await wait_until(lambda: why in status(pilot), "the reason")


async def test_a_persona_gives_its_settings_and_undo_takes_them(
    run_app: RunApp, paths: Paths
) -> None:
    paths.personas_folder.mkdir(parents=True)
    (paths.personas_folder / "pirate.toml").write_text(
        'system = "You are a pirate."\ngreeting = "Ahoy!"\nstop = ["THE END"]\n'
    )
    async with run_app(ScriptedEngine()) as pilot:
        screen(pilot).prompt.insert("/persona")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, DescribedPicker), "the picker")
        await pilot.press(*"pirate", "enter")
        await wait_until(lambda: "Ahoy!" in shown(pilot), "the greeting")
        conversation = screen(pilot).view.conversation
        assert conversation is not None
        assert (conversation.system, conversation.stop) == ("You are a pirate.", ("THE END",))
        await pilot.press("alt+z")
        await wait_until(
            lambda: (c := screen(pilot).view.conversation) is not None and not c.stop, "the undo"
        )


async def test_a_prompt_asks_for_its_variables(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        screen(pilot).prompt.insert("/prompts explain")
        await pilot.press("enter")
        await wait_until(lambda: is_open(pilot, VariablesScreen), "the form")
        await pilot.press(*"GGUF", "enter", "enter")
        await wait_until(
            lambda: written(pilot).startswith("Explain GGUF to somebody who is new to it."),
            "the prompt",
        )
    assert client(pilot).return_code in (0, None)
