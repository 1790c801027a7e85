"""Text that is selected with the mouse: what is highlighted, and what is copied."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rich.color import ColorSystem
from textual.pilot import Pilot

from baize_tui.app.transcript.transcript import Transcript
from tests.app.transcript.hosting import host, message, seen
from tests.conftest import wait_until

ANSWER = """# A heading

Some words that are so many that the line has to be wrapped once or twice before they end.

- one
- two

> said

```python
def add(a, b):

    return a + b
```

The end."""


def place(transcript: Transcript, word: str, *, end: bool = False) -> tuple[int, int]:
    """Where ``word`` begins on the screen, or its last character."""
    lines = seen(transcript).split("\n")
    y = next(y for y, line in enumerate(lines) if word in line)
    x = lines[y].index(word) + (len(word) - 1 if end else 0)
    return transcript.content_region.x + x, transcript.content_region.y + y


async def drag(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(offset=start)
    await pilot.hover(offset=end)
    await pilot.mouse_up(offset=end)


def selected(pilot: Pilot[None]) -> str:
    return pilot.app.screen.get_selected_text() or ""


async def select(pilot: Pilot[None], transcript: Transcript, first: str, last: str) -> str:
    """Drag from the beginning of one word to the end of another; the text that is selected."""
    await drag(pilot, place(transcript, first), place(transcript, last, end=True))
    await wait_until(lambda: selected(pilot), "a selection")
    return selected(pilot)


def highlighted(transcript: Transcript) -> list[str]:
    """The parts of the lines in sight that are drawn as selected."""
    selected = transcript.screen.get_component_rich_style("screen--selection").bgcolor
    lines = (transcript.render_line(y) for y in range(transcript.size.height))
    parts = (
        "".join(part.text for part in line if part.style and part.style.bgcolor == selected)
        for line in lines
    )
    return [part for part in parts if part]


async def test_words_are_selected_and_highlighted() -> None:
    async with host(message(1, "你好 world and more")) as (transcript, pilot):
        x, y = transcript.content_region.offset
        # 你好 ends at column 6: the mark, a blank, and two cells for each character.
        await drag(pilot, (x + 7, y + 2), (x + 11, y + 2))
        await wait_until(lambda: selected(pilot) == "world", "the selection")
        assert highlighted(transcript) == ["world"]


async def test_a_drag_over_several_turns_copies_no_margins_and_no_notes() -> None:
    thought = message(2, ANSWER, role="assistant", state="stopped", reasoning="It is known.")
    turns = message(1, "A question\nof two lines"), thought, message(3, "More?")
    async with host(*turns, size=(40, 60)) as (transcript, pilot):
        assert await select(pilot, transcript, "question", "More?") == (
            "question\nof two lines\n\n"
            "A heading\n\n"
            "Some words that are so many that the line has to be wrapped once or twice before "
            "they end.\n\n"
            " • one\n • two\n\n"
            "said\n\n"
            "def add(a, b):\n\n    return a + b\n\n"
            "The end.\n\n"
            "More?"
        )
        for mark in ("▌", "▸", "copy", "python", "stopped"):
            assert mark in seen(transcript)
            assert not any(mark in part for part in highlighted(transcript))


async def test_the_text_is_the_same_at_every_width() -> None:
    texts = set()
    for width in (24, 40, 80, 120):
        answer = message(2, f"First {ANSWER} last.", role="assistant")
        async with host(message(1, "Hi"), answer, size=(width, 60)) as (transcript, pilot):
            texts.add(await select(pilot, transcript, "First", "last."))
    assert len(texts) == 1


@pytest.mark.parametrize("complete", [True, False])
async def test_wrapped_lines_of_code_are_joined_again(complete: bool) -> None:
    code = "value = " + "word_" * 20
    answer = message(2, f"```\n{code}\n" + "```" * complete, role="assistant")
    if not complete:
        answer = replace(answer, state="streaming")
    async with host(message(1, "Hi"), answer, size=(40, 20)) as (transcript, pilot):
        x, y = transcript.content_region.offset
        end = x + 30, y + transcript.size.height - 1
        await drag(pilot, place(transcript, "value"), end)
        await wait_until(lambda: selected(pilot) == code, "the code")


@pytest.mark.parametrize("theme", ["baize-dark", "baize-light"])
async def test_selected_text_is_readable_also_with_sixteen_colours(theme: str) -> None:
    async with host(message(2, ANSWER, role="assistant"), size=(60, 40)) as (transcript, pilot):
        pilot.app.theme = theme
        await pilot.pause()
        await select(pilot, transcript, "heading", "end.")
        selected = transcript.screen.get_component_rich_style("screen--selection").bgcolor
        normal = transcript.look.text.bgcolor
        assert selected is not None
        assert normal is not None
        for system in (ColorSystem.TRUECOLOR, ColorSystem.STANDARD):
            assert selected.downgrade(system) != normal.downgrade(system)
            for y in range(transcript.size.height):
                for part in transcript.render_line(y):
                    if part.style and part.style.bgcolor == selected:
                        assert part.style.color is not None
                        colours = part.style.color, selected
                        assert len({colour.downgrade(system) for colour in colours}) == 2


async def test_a_double_click_selects_a_word_and_no_turn() -> None:
    async with host(message(1, "It isn't 'here', is it?")) as (transcript, pilot):
        for word in ("isn't", "here", "is it"):
            offset = place(transcript, word)
            await pilot.click(offset=offset, times=2)
            await wait_until(lambda word=word: selected(pilot) == word.split()[0], "the word")
            await pilot.click(offset=(offset[0], transcript.content_region.bottom - 1))
            await wait_until(lambda: not selected(pilot), "no selection")


async def test_a_triple_click_selects_a_line_of_the_text() -> None:
    async with host(message(2, ANSWER, role="assistant"), size=(40, 40)) as (transcript, pilot):
        await pilot.click(offset=place(transcript, "wrapped"), times=3)
        (line,) = (line for line in ANSWER.split("\n") if "wrapped" in line)
        await wait_until(lambda: selected(pilot) == line, "the line")


async def test_what_is_selected_stays_when_turns_are_drawn_or_inserted_above() -> None:
    """Heights above are estimates until they are drawn."""
    turns = [message(n, f"turn {n}.\n\n{ANSWER}", role="assistant") for n in range(1, 40)]
    async with host(*turns[20:], size=(60, 14)) as (transcript, pilot):
        transcript.scroll_lines(-20)
        while not all(word in seen(transcript) for word in ("def", "return")):
            transcript.scroll_lines(-1)
        await pilot.pause()
        text = await select(pilot, transcript, "def", "return")
        before = highlighted(transcript)
        transcript.show_earlier(turns[:20], None)
        await pilot.pause()
        assert (selected(pilot), highlighted(transcript)) == (text, before)
        for _ in range(10):
            transcript.page(-1)
            await pilot.pause()
        for _ in range(10):
            transcript.page(1)
            await pilot.pause()
        assert (selected(pilot), highlighted(transcript)) == (text, before)


async def test_a_selection_draws_only_what_it_covers() -> None:
    turns = [message(n, f"turn {n}.\n\n{ANSWER}", role="assistant") for n in range(1, 500)]
    async with host(*turns) as (transcript, pilot):
        drawn = sum(turn.lines is not None for turn in transcript.turns)
        assert await select(pilot, transcript, "return", "end.") == "return a + b\n\nThe end."
        assert sum(turn.lines is not None for turn in transcript.turns) == drawn


async def test_other_turns_end_the_selection() -> None:
    async with host(message(1, "one two")) as (transcript, pilot):
        await select(pilot, transcript, "one", "two")
        transcript.show([message(5, "another branch")], "", None)
        assert not selected(pilot)
        assert not highlighted(transcript)
