"""Finding words in the open conversation."""

from __future__ import annotations

import contextlib

from textual import events
from textual.pilot import Pilot

from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.app.pilot import RunApp, client, screen, shown, texts, transcript
from tests.app.screens.test_search import write_conversation
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def count(pilot: Pilot[int]) -> str:
    """Which match of how many it is."""
    return screen(pilot).query_one(FindBar).state


def highlighted(lines: Transcript, style: str = "transcript--found-here") -> list[str]:
    """What is drawn in a style, from top to bottom."""
    background = lines.get_component_rich_style(style).bgcolor
    return [
        segment.text
        for y in range(lines.size.height)
        for segment in lines.render_line(y)
        if segment.style is not None and segment.style.bgcolor == background
    ]


async def open_and_find(pilot: Pilot[int], text: str, turns: int) -> None:
    await pilot.press("ctrl+b", "enter")
    await wait_until(lambda: len(texts(pilot)) == turns, "the conversation")
    await pilot.press("ctrl+f", *text)


async def test_n_and_shift_n_walk_through_all_matches(run_app: RunApp, paths: Paths) -> None:
    many = "\n\n".join(f"paragraph {number}" for number in range(40))
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "a plum", f"plums\n\n{many}\n\nPLUM", "none", "a Plum")
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        await open_and_find(pilot, "plum", 4)
        await wait_until(lambda: count(pilot).endswith(" of 4"), "the matches")
        await pilot.press("enter")
        for _ in range(4):
            before = count(pilot)
            await pilot.press("n")
            await wait_until(lambda before=before: count(pilot) != before, "the next")
            place = int(count(pilot).split()[0])
            expected = ["plum", "plums", "PLUM", "Plum"][place - 1]
            await wait_until(
                lambda expected=expected: highlighted(transcript(pilot)) == [expected], expected
            )
        before = count(pilot)
        await pilot.press("N")
        await wait_until(lambda: count(pilot) != before, "the one before")
        await pilot.press("n")
        await wait_until(lambda: count(pilot) == before, "back")
        await pilot.press("escape")
        await wait_until(lambda: not screen(pilot).query_one(FindBar).is_open, "the end")
        assert highlighted(transcript(pilot)) == []
        assert screen(pilot).prompt.text == ""


async def test_folded_parts_are_found_and_unfolded(run_app: RunApp, paths: Paths) -> None:
    pasted = "\n".join(f"row {number}" for number in range(30)) + "\nquince\n" + "end\n" * 30
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", pasted, "A", thought="also a quince")
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        await open_and_find(pilot, "quince", 2)
        await wait_until(lambda: count(pilot).endswith(" of 2"), "the matches")
        await pilot.press("enter", "n")
        await wait_until(lambda: highlighted(transcript(pilot)) == ["quince"], "one")
        first = shown(pilot)
        await pilot.press("n")
        await wait_until(lambda: shown(pilot) != first, "the other")
        await wait_until(lambda: highlighted(transcript(pilot)) == ["quince"], "it")


async def test_matches_in_wrapped_lines_are_highlighted(run_app: RunApp, paths: Paths) -> None:
    text = "filler words that fill up a line until it has to be wrapped between a merge sort"
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Sorting", "Q", " ".join([text] * 3))
    async with run_app(ScriptedEngine(), size=(60, 30)) as pilot:
        await open_and_find(pilot, "merge sort", 2)
        await wait_until(lambda: count(pilot) == "1 of 3", "the matches")
        lines = transcript(pilot)
        found = highlighted(lines) + highlighted(lines, "transcript--found")
        assert " ".join(found).split() == ["merge", "sort"] * 3


async def test_keys_in_quick_succession_keep_their_order(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "plum", "plum", "plum", "plum")
    async with run_app(ScriptedEngine()) as pilot:
        await open_and_find(pilot, "", 4)
        await wait_until(lambda: screen(pilot).query_one(FindBar).is_open, "the line")
        for key in ("p", "l", "u", "m", "enter", "n", "n"):  # without waiting for what they do
            client(pilot).post_message(events.Key(key, key if len(key) == 1 else None))
        await wait_until(lambda: count(pilot) == "3 of 4", "the third")
        client(pilot).post_message(events.Key("N", "N"))
        await wait_until(lambda: count(pilot) == "2 of 4", "the second")


async def test_keys_belong_to_the_text_until_enter(run_app: RunApp, paths: Paths) -> None:
    with contextlib.closing(Store(paths.conversations_file)) as store:
        write_conversation(store, "Fruit", "a nun", "A")
    async with run_app(ScriptedEngine()) as pilot:
        await open_and_find(pilot, "nun", 2)
        await wait_until(lambda: count(pilot) == "1 of 1", "it")
        await pilot.press("enter", "x", "/", *"x")
        await wait_until(lambda: count(pilot) == "not found", "another text")
        await pilot.press("ctrl+n")
        await wait_until(lambda: not screen(pilot).query_one(FindBar).is_open, "the end")
