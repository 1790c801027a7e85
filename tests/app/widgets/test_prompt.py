"""The prompt: typing, pastes, commands, earlier messages, the editor."""

from __future__ import annotations

import contextlib

import pytest
from textual import events
from textual.pilot import Pilot

from baize_shared.sanitizer import clean_text
from baize_tui.app.app import BaizeApp
from baize_tui.app.screens.dialogs import HelpScreen
from baize_tui.app.widgets.prompt import Prompt
from tests.app.pilot import RunApp, ask, client, is_open, screen, shown, status, texts, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_enter_is_handled_after_the_letters_typed_before_it(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*"one two", "ctrl+j", *"three", "enter")
        await wait_until(lambda: texts(pilot)[:1] == ["one two\nthree"], "the question")


async def test_editing_keys_are_handled_in_the_order_they_were_typed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        keys = [*"onetwo", *["backspace"] * 3, *"thre", "left", "e", "home", "delete", "O"]
        for key in keys:
            character = key if len(key) == 1 else None
            pilot.app.post_message(events.Key(key, character))
        await wait_until(lambda: prompt.text == "Onethree", "the text")


async def test_a_paste_is_inserted_once_and_sanitized(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        pilot.app.post_message(events.Paste("two\r\nlines\x1b[31m"))
        await wait_until(lambda: prompt.text == "two\nlines␛[31m", "the paste")


async def test_earlier_messages_are_recalled(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        for question in ("first", "second"):
            await ask(pilot, question, "One.")
            await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        prompt = pilot.app.query_one(Prompt)
        for key, text in (("ctrl+up", "second"), ("ctrl+up", "first"), ("ctrl+down", "second")):
            await pilot.press(key)
            await wait_until(lambda text=text: prompt.text == text, text)


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


async def paste(pilot: Pilot[int], text: str) -> None:
    before = screen(pilot).prompt.text
    pilot.app.post_message(events.Paste(text))
    await wait_until(lambda: screen(pilot).prompt.text != before, "the paste")


def written(pilot: Pilot[int]) -> str:
    return screen(pilot).prompt.shown_text


async def test_a_large_paste_is_shown_as_a_label_and_sent_in_full(run_app: RunApp) -> None:
    pasted = "\n".join(f"line {number}" for number in range(500))
    async with run_app(ScriptedEngine("Yes.", n_ctx=9000)) as pilot:
        await pilot.press(*"see ")
        await paste(pilot, pasted)
        assert written(pilot) == "see [paste 1: 500 lines]"
        await pilot.press("ctrl+j", *"why?", "enter")
        await wait_until(lambda: texts(pilot)[1:] == ["Yes."], "the answer")
        assert texts(pilot)[0] == f"see {pasted}\nwhy?"
        assert "489 more lines · alt+r unfolds" in shown(pilot)
        assert "line 499\n▌ why?" in shown(pilot)
        assert titles(pilot) == ["why?"]


LOG = "\n".join(f"line {number}" for number in range(61))
LABEL = "[paste 1: 61 lines]"
AROUND_A_PASTE: dict[str, tuple[list[str], str]] = {
    "backspace": (["backspace"], "ab"),
    "delete": (["left", "delete"], "ab"),
    "a word to the left": (["ctrl+w"], "ab"),
    "the cursor passes over it": (["left", "x", "right", "y"], f"ax{LABEL}yb"),
    "typing into it": (["left", "left", "right", "right", "x"], f"a{LABEL}xb"),
    "to the start": (["home", "right", "right", "x"], f"a{LABEL}xb"),
    "to the end": (["end", "left", "left", "x"], f"ax{LABEL}b"),
    "replacing a selection": (["shift+left", "x"], "axb"),
    "half a selection": (["home", "shift+right", "shift+right", "x"], "xb"),
    "undo of a deletion": (["backspace", "ctrl+underscore"], f"a{LABEL}b"),
    "undo of the paste": (["ctrl+underscore", "ctrl+y"], f"a{LABEL}b"),
    "a line below": (["ctrl+j", "up", "x"], f"xa{LABEL}\nb"),
    "cut and paste": (["shift+left", "ctrl+x", "end", "ctrl+v"], f"ab{LABEL}"),
    "twice": (["shift+left", "ctrl+c", "right", "ctrl+v"], f"a{LABEL}{LABEL}b"),
    "two, one deleted": (
        ["shift+left", "ctrl+c", "right", "ctrl+v", "left", "backspace"],
        f"a{LABEL}b",
    ),
    "a cut line": (["ctrl+x", "ctrl+v"], f"a{LABEL}b"),
    "a deleted line": (["ctrl+shift+k", "ctrl+underscore"], f"a{LABEL}b"),
    "everything": (["f7", "x", "ctrl+underscore"], f"a{LABEL}b"),
    "unfolded": (["alt+r", "x"], f"a{LOG}xb"),
    "unfolded and back": (["alt+r", "ctrl+underscore"], f"a{LABEL}b"),
}


@pytest.mark.sampled(10)
@pytest.mark.parametrize("name", AROUND_A_PASTE)
@pytest.mark.parametrize("width", [31, 100])
async def test_a_paste_is_one_object(name: str, width: int, run_app: RunApp) -> None:
    keys, wanted = AROUND_A_PASTE[name]
    async with run_app(ScriptedEngine("Yes."), size=(width, 20)) as pilot:
        await pilot.press("a", "b", "left")
        await paste(pilot, LOG)
        await pilot.press(*keys)
        assert written(pilot) == wanted
        assert screen(pilot).prompt.draft == wanted.replace(LABEL, LOG).strip()


async def test_a_click_into_a_paste_goes_to_its_end(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press("a", "b", "left")
        await paste(pilot, LOG)
        await pilot.click("#prompt", offset=(10, 1))
        await pilot.press("x")
        assert written(pilot) in (f"ax{LABEL}b", f"a{LABEL}xb")


async def test_a_copied_paste_is_in_the_clipboard_in_full(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*"see ")
        await paste(pilot, LOG)
        await pilot.press("f7", "ctrl+c", "delete")
        assert pilot.app.clipboard == f"see {LOG}"
        await paste(pilot, f"see {LOG}")  # also as the terminal pastes it
        assert written(pilot) == f"see {LABEL}"


async def test_brackets_that_are_no_paste_are_kept(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await paste(pilot, LOG)
        await pilot.press(*" [paste 1: 61 lines] [x]", "enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert texts(pilot)[0] == f"{LOG} [paste 1: 61 lines] [x]"


PASTED: dict[str, str] = {
    "a megabyte in one line": "x" * 1_000_000,
    "a megabyte of lines": "some words in a line\n" * 50_000,
    "windows line ends": "line\r\n" * 40,
    "control characters": "\x1b[31mred\x00\x07\x9b\u202e" * 300,
    "wide characters": "白泽🐉👩‍👩‍👧" * 500,
    "our own characters": "\ufdd0\ufde1\ufdd1" * 900,
    "short, with our own characters": "\ufdd0\ufde1\ufdd1",
    "tabs": "\tif x:\n\t\treturn\n" * 30,
    "only line ends": "\n" * 50 + ".",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", PASTED)
async def test_any_paste_is_sent_as_it_was(name: str, run_app: RunApp) -> None:
    pasted = PASTED[name]
    async with run_app(ScriptedEngine("Yes.", n_ctx=1_000_000)) as pilot:
        await pilot.press(*"see: ")
        await paste(pilot, pasted)
        await pilot.press(*" end")
        assert len(written(pilot)) < 60
        assert "\ufdd0" not in written(pilot)
        await pilot.press("backspace", *"d", "left", "right", "enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        sent = pasted.replace("\ufdd0", "�").replace("\ufde1", "�").replace("\ufdd1", "�")
        assert texts(pilot)[0] == f"see: {clean_text(sent)} end"
        assert "end" in shown(pilot)


async def test_a_long_message_is_edited_as_text(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await paste(pilot, LOG)
        await pilot.press("ctrl+j", *"why?", "enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await pilot.press("alt+e")
        assert written(pilot) == f"{LOG}\nwhy?"
        await pilot.press(*["up"] * 3, "end", *"!", "enter")
        wanted = f"{LOG}\nwhy?".replace("line 58", "line 58!")
        await wait_until(lambda: texts(pilot) == [wanted, "Yes."], "the new branch")


async def test_a_huge_message_is_edited_below_its_paste(run_app: RunApp) -> None:
    pasted = "x" * 100_000
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await paste(pilot, pasted)
        await pilot.press("ctrl+j", "ctrl+j", *"why?", "enter")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await pilot.press("alt+e")
        assert written(pilot) == "[paste 1: 100000 characters]\n\nwhy?"
        await pilot.press(*"!", "enter")
        await wait_until(lambda: texts(pilot)[:1] == [f"{pasted}\n\nwhy?!"], "the new branch")


async def test_the_editor_shows_pastes_in_full_and_keeps_them(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/draft/text/")
    monkeypatch.setattr(BaizeApp, "suspend", lambda self: contextlib.nullcontext())
    async with run_app(ScriptedEngine()) as pilot:
        await paste(pilot, LOG)
        await pilot.press(*" my draft", "ctrl+o")
        await wait_until(lambda: written(pilot) == f"{LABEL} my text", "the editor")
        await pilot.press("ctrl+underscore")
        assert written(pilot) == f"{LABEL} my draft"


EDITORS = {
    "false": ("my draft", "failed (exit code 1)"),
    "/nowhere/editor": ("my draft", "cannot be started"),
    "sh -c 'echo more >> $0; kill -9 $$'": ("my draftmore", "SIGKILL"),
    "sh -c 'rm $0'": ("my draft", ""),
    "vi 'never closed": ("my draft", "is not a command"),
    " ": ("my draft", "is blank"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("editor", EDITORS)
async def test_a_broken_editor_loses_nothing(
    editor: str, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, problem = EDITORS[editor]
    monkeypatch.setenv("VISUAL", editor)
    monkeypatch.setattr(BaizeApp, "suspend", lambda self: contextlib.nullcontext())
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"my draft", "ctrl+o")
        await wait_until(lambda: problem in status(pilot), "the problem")
        assert written(pilot) == text


@pytest.mark.parametrize("line", ["/etc/fstab: what is this?", "/hlep", "//", "/"])
async def test_a_message_that_begins_with_a_slash(line: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*line, "enter")
        await wait_until(lambda: "enter again sends it as text" in status(pilot), "the offer")
        assert written(pilot) == line
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == [line, "Yes."], "the answer")
        await pilot.press("alt+e", *" please", "enter")
        await wait_until(lambda: texts(pilot) == [f"{line} please", "Yes."], "the new branch")


async def test_a_changed_command_is_offered_again(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*"/hlep", "enter", *["backspace"] * 3, *"elp", "enter")
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
        assert written(pilot) == ""


async def test_a_space_before_a_slash_makes_it_a_message(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*" /help", "enter")
        await wait_until(lambda: texts(pilot) == ["/help", "Yes."], "the answer")
        await pilot.press("alt+e", "enter")
        await wait_until(
            lambda: any(turn.branch for turn in screen(pilot).transcript.turns[:1]), "a branch"
        )
        await pilot.press("ctrl+up")
        await wait_until(lambda: written(pilot) == " /help", "the earlier message")


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
