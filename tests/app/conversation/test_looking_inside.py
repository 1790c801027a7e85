"""The prompt, the probabilities of tokens, and replays, on the screen."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from baize_tui.app.conversation.looking_inside import replay_lines
from baize_tui.app.screens.dialogs import NoteDialog
from baize_tui.app.screens.prompt_view import PromptView
from baize_tui.app.screens.token_view import TokenView, visible
from baize_tui.chat.replay import Replay
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import Judge, Judged, TokenChoice
from tests.app.forms import close
from tests.app.pilot import RunApp, ask, is_open, screen, status, texts
from tests.chat.scripted_engine import CONTROL, OTHER, ScriptedEngine
from tests.conftest import wait_until


async def command(pilot: Pilot[int], name: str) -> None:
    await pilot.press(*name, "enter")


def panel(pilot: Pilot[int]) -> str:
    """All texts of the dialog."""
    return "\n".join(str(each.render()) for each in pilot.app.screen.query(Static))


async def open_tokens(pilot: Pilot[int]) -> None:
    await command(pilot, "/tokens")
    await wait_until(lambda: is_open(pilot, TokenView), "the tokens")
    await wait_until(lambda: choices(pilot), "the choices")


def choices(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


async def test_the_prompt_is_shown_with_its_control_tokens(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Blue.")) as pilot:
        await ask(pilot, "Which plums?", "Blue.")
        await command(pilot, "/inspect")
        await wait_until(lambda: is_open(pilot, PromptView), "the prompt")
        await wait_until(lambda: f"{CONTROL}Which plums?{CONTROL}Blue." in panel(pilot), "all")
        assert "tokens of 1000: 0 are read already" in panel(pilot)


async def test_a_draft_is_part_of_the_prompt(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Blue.")) as pilot:
        screen(pilot).prompt.insert("Why?")
        await screen(pilot).run_command("inspect")
        await wait_until(lambda: is_open(pilot, PromptView), "the prompt")
        await wait_until(lambda: f"{CONTROL}Why?" in panel(pilot), "the draft")
        await close(pilot)
        assert screen(pilot).prompt.text == "Why?"


async def test_another_token_begins_a_branch(run_app: RunApp) -> None:
    engine = ScriptedEngine("Blue ", "plums.")
    async with run_app(engine) as pilot:
        await ask(pilot, "What", "Blue plums.")
        engine.script = ["are best."]
        await open_tokens(pilot)
        assert choices(pilot) == ["●  40.0%  Blue␣", "○  40.0%  pears␣"]
        await pilot.press("right")
        assert choices(pilot)[0] == "●  40.0%  plums."
        await pilot.press("down", "enter")
        await wait_until(lambda: texts(pilot) == ["What", "Blue pears are best."], "the answer")
        await wait_until(
            lambda: [turn.branch for turn in screen(pilot).transcript.turns][-1:] == [(2, 2)],
            "a branch",
        )


async def test_the_chosen_token_changes_nothing(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Blue.")) as pilot:
        await ask(pilot, "What", "Blue.")
        await open_tokens(pilot)
        await pilot.press("enter", "left", "right", "end", "home")
        assert is_open(pilot, TokenView)
        await close(pilot)
        assert texts(pilot) == ["What", "Blue."]


async def test_an_edited_answer_has_no_tokens(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Blue.")) as pilot:
        await ask(pilot, "What", "Blue.")
        await pilot.press("alt+u", "alt+e", *" Yes", "enter")
        await wait_until(lambda: texts(pilot) == ["What", "Blue. Yes"], "the edit")
        for name in ("/tokens", "/replay"):
            await command(pilot, name)
            await wait_until(lambda: status(pilot), "the reason")
            assert not is_open(pilot, TokenView)


async def test_a_failure_is_one_line(run_app: RunApp) -> None:
    class Broken(ScriptedEngine):
        async def judge(self, request: Judge) -> Judged:
            raise EngineFailure("the model process died")

    async with run_app(Broken("Blue.")) as pilot:
        await ask(pilot, "What", "Blue.")
        await command(pilot, "/tokens")
        await wait_until(lambda: status(pilot) == "the model process died", "the reason")


async def test_a_replay_says_which_token_differs(run_app: RunApp) -> None:
    """The scripted engine gives the same text other tokens each time."""
    async with run_app(ScriptedEngine("Blue.")) as pilot:
        await ask(pilot, "What", "Blue.")
        await command(pilot, "/replay")
        await wait_until(lambda: is_open(pilot, NoteDialog), "the result")
        await wait_until(lambda: "Token 1 differs." in panel(pilot), "the token")
        assert "Then: “Blue.” (40.0%)" in panel(pilot)
        await close(pilot)
        assert texts(pilot) == ["What", "Blue."]


def test_what_a_replay_says() -> None:
    same = "\n".join(replay_lines(Replay(None)))
    assert same == "The same answer came again, token for token."
    token = TokenChoice(1, " ma\x1by", 0.5)
    lines = "\n".join(replay_lines(Replay(2, token, None, ["threads: 2, now 1"])))
    assert "Token 3 differs." in lines
    assert "Now: the answer ended" in lines
    assert "threads: 2, now 1" in lines
    assert "\x1b" not in lines


def test_blanks_of_a_token_can_be_seen() -> None:
    assert visible(" a\n") == "␣a⏎"
    assert visible("") == "(nothing)"
    assert OTHER.strip() in visible(OTHER)
