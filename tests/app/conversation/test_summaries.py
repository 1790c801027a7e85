"""The summary of turns that no longer fit: shown at the cut, folded, and edited like a message."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from baize_tui.app.conversation.answers import NOT_SUMMARIZED, SUMMARIZING
from baize_tui.app.conversation.idle_status import EDITING_SUMMARY, EFFECTS
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, Settings
from baize_tui.store.conversations import Store
from tests.app.pilot import (
    RunApp,
    client,
    notices,
    say,
    screen,
    shown,
    status,
    texts,
    transcript,
)
from tests.chat.scripted_engine import SUMMARY, WritingEngine
from tests.conftest import wait_until

SUMMARIZES = Settings(
    chat=ChatSettings(system="", moderation=False, max_tokens=8, overflow="summarize")
)
TITLE = "▸ summary · 3 words · alt+a edits"


async def fill(pilot: Pilot[int], turns: int = 4) -> None:
    """Ask until the context was cut."""
    for number in range(turns):
        await say(pilot, f"turn{number} " + "word " * 30)
        await wait_until(lambda n=number: len(texts(pilot)) == 2 * n + 2, "the answer")
    await wait_until(lambda: transcript(pilot).cut is not None, "the cut")
    await wait_until(lambda: not screen(pilot).view.is_answering, "the end")


def summary(pilot: Pilot[int]) -> str:
    cut = transcript(pilot).cut
    return cut.summary if cut is not None else ""


async def test_it_is_shown_folded_at_the_cut(run_app: RunApp) -> None:
    engine = WritingEngine(n_ctx=120)
    async with run_app(engine, settings=SUMMARIZES, size=(100, 50)) as pilot:
        await fill(pilot)
        assert "the model sees a summary" in shown(pilot)
        assert TITLE in shown(pilot)
        assert SUMMARY not in shown(pilot)
        await pilot.press("alt+r")
        assert f"│ {SUMMARY}" in shown(pilot)
        await pilot.press("alt+r")
        assert SUMMARY not in shown(pilot)


async def test_a_click_unfolds_it(run_app: RunApp) -> None:
    async with run_app(WritingEngine(n_ctx=120), settings=SUMMARIZES, size=(100, 50)) as pilot:
        await fill(pilot)
        line = next(y for y, text in enumerate(shown(pilot).split("\n")) if "▸ summary" in text)
        await pilot.click("#transcript", offset=(6, line + 1))
        await wait_until(lambda: SUMMARY in shown(pilot), "the summary")


async def test_the_work_on_it_is_shown_and_can_be_stopped(run_app: RunApp) -> None:
    engine = WritingEngine(n_ctx=120)
    engine.writer.pause_at = 0
    async with run_app(engine, settings=SUMMARIZES) as pilot:
        for number in range(2):
            await say(pilot, f"turn{number} " + "word " * 30)
            await wait_until(lambda n=number: len(texts(pilot)) == 2 * n + 2, "the answer")
        await say(pilot, "long " + "word " * 50)
        await wait_until(lambda: SUMMARIZING in status(pilot), "the work")
        await pilot.press("escape")
        await wait_until(lambda: "stopped while" in status(pilot), "the end")
        assert transcript(pilot).cut is None
        assert texts(pilot)[-1].startswith("long")
        # Asked again, it is written.
        engine.writer.pause_at = None
        await pilot.press("ctrl+g")
        await wait_until(lambda: summary(pilot) == SUMMARY, "the summary")


async def test_a_draft_that_needs_one_is_announced(run_app: RunApp) -> None:
    async with run_app(WritingEngine(n_ctx=120), settings=SUMMARIZES) as pilot:
        await say(pilot, "turn " + "word " * 50)
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        screen(pilot).prompt.insert("long " + "word " * 70)
        await wait_until(lambda: EFFECTS["summarizes_turns"] in status(pilot), "the warning")


async def test_without_one_the_reason_is_shown(run_app: RunApp) -> None:
    engine = WritingEngine("", n_ctx=120)
    async with run_app(engine, settings=SUMMARIZES, notifications=True) as pilot:
        await fill(pilot)
        why = NOT_SUMMARIZED.format(why="the model wrote no summary")
        await wait_until(lambda: why in " ".join(notices(pilot).split()), "the reason")
        assert "no longer sees" in "".join(transcript(pilot).notes)


async def edit(pilot: Pilot[int], added: str) -> None:
    await pilot.press("alt+a")
    assert screen(pilot).prompt.draft == SUMMARY
    assert status(pilot).startswith(EDITING_SUMMARY)
    await pilot.press("end", *added)


async def test_it_is_edited_in_the_prompt(run_app: RunApp, paths: Paths) -> None:
    engine = WritingEngine(n_ctx=120)
    async with run_app(engine, settings=SUMMARIZES) as pilot:
        await fill(pilot)
        await pilot.press(*"a draft")
        await edit(pilot, " And sheep.")
        await pilot.press("enter")
        await wait_until(lambda: summary(pilot) == f"{SUMMARY} And sheep.", "the change")
        assert screen(pilot).prompt.draft == "a draft"
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[-2:] == ["a draft", "yes"], "the answer")
        assert engine.requests[-1].prompt.messages[0].content.endswith("And sheep.")
        await pilot.press("alt+z")
        await wait_until(lambda: summary(pilot) == SUMMARY, "the undo")
    store = Store(paths.conversations_file)
    assert store.unsent.take_over(store.conversations()[0].id) == []
    store.close()


async def test_an_edit_that_was_left_is_kept(run_app: RunApp) -> None:
    engine = WritingEngine(n_ctx=120)
    async with run_app(engine, settings=SUMMARIZES) as pilot:
        await fill(pilot)
        await edit(pilot, " More")
        await pilot.press("escape")
        await wait_until(lambda: "your edit is kept · alt+a" in status(pilot), "the note")
        # The message below has an edit of its own.
        cut = transcript(pilot).cut
        assert cut is not None
        transcript(pilot).select(transcript(pilot).turn(cut.message_id))
        await pilot.press("alt+e")
        assert screen(pilot).prompt.draft.startswith("turn")
        await pilot.press("escape", "alt+a")
        assert screen(pilot).prompt.draft == f"{SUMMARY} More"
        id = screen(pilot).view.open_id
        await client(pilot).action_quit()
    again = run_app(WritingEngine(n_ctx=120), settings=SUMMARIZES, open_session=id)
    async with again as pilot:
        await wait_until(lambda: transcript(pilot).cut is not None, "the conversation")
        await pilot.press("alt+a")
        assert screen(pilot).prompt.draft == f"{SUMMARY} More"
        await pilot.press("enter")
        await wait_until(lambda: summary(pilot) == f"{SUMMARY} More", "the change")


async def test_it_is_there_when_the_conversation_is_opened_again(run_app: RunApp) -> None:
    async with run_app(WritingEngine(n_ctx=120), settings=SUMMARIZES) as pilot:
        await fill(pilot)
        await pilot.press("ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: summary(pilot) == SUMMARY, "the summary")


@pytest.mark.parametrize("summarized", [True, False])
async def test_the_palette_offers_the_edit_where_there_is_one(
    run_app: RunApp, summarized: bool
) -> None:
    async with run_app(WritingEngine(n_ctx=120), settings=SUMMARIZES) as pilot:
        if summarized:
            await fill(pilot)
        else:
            await say(pilot, "one")
            await wait_until(lambda: texts(pilot) == ["one", "yes"], "the answer")
            await pilot.press("alt+a")  # does nothing
            assert screen(pilot).prompt.draft == ""
        offered = [action.id for action in screen(pilot).parts.available.actions()]
        assert ("summary" in offered) == summarized
