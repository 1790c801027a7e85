"""The transcript: drawing, growing, folding and scrolling, also with thousands of turns."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.style import Style
from textual.geometry import Region

from baize_tui.app.transcript.line_parts import Line
from baize_tui.app.transcript.look import Look, line_text
from baize_tui.app.transcript.markdown_lines import GrowingMarkdown
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.store.records import Message
from tests.app.transcript.hosting import Host, host, message, seen
from tests.conftest import wait_until

LOOK = Look(
    text=Style.parse("white on black"),
    dim=Style.parse("grey50"),
    accent=Style.parse("green"),
    warning=Style.parse("yellow"),
    problem=Style.parse("red"),
    code=Style.parse("on grey11"),
    selected=Style.parse("on grey15"),
    dark=True,
    few_colours=False,
)
RICH_ANSWER = """Here it is, **bold** and `code`:

- one
- two 白泽 🐉

1. first
2. second

```python
def add(a, b):
    return a + b
```

| a | b |
|---|---|
| 1 | 白 |

> said

The <b>end</b>
in two lines.
"""


@pytest.fixture(name="host")
def _host() -> Host:
    return host


def talk(turns: int) -> list[Message]:
    messages = []
    for number in range(turns):
        messages.append(message(2 * number + 1, f"question {number}."))
        messages.append(
            message(2 * number + 2, f"answer {number}.\n\n{RICH_ANSWER}", role="assistant")
        )
    return messages


def texts(lines: list[Line]) -> list[str]:
    return [line_text(line).rstrip() for line in lines]


# --- Markdown as lines --------------------------------------------------------------------------


def test_an_answer_is_drawn_as_markdown() -> None:
    drawn = texts(GrowingMarkdown(LOOK, 40).lines(RICH_ANSWER, complete=True))
    assert drawn[0] == "Here it is, bold and code:"
    for line in (" • one", " • two 白泽 🐉", " 1. first", "     return a + b", "▌ said"):
        assert line in drawn
    assert drawn[-2:] == ["The <b>end</b>", "in two lines."]
    assert not any(a == b == "" for a, b in pairwise(drawn))


def test_every_line_has_the_given_width() -> None:
    for line in GrowingMarkdown(LOOK, 33).lines(RICH_ANSWER, complete=True):
        assert sum(segment.cell_length for segment in line) == 33


@pytest.mark.parametrize("step", [1, 3, 17])
def test_a_text_that_grew_looks_like_one_drawn_at_once(step: int) -> None:
    growing = GrowingMarkdown(LOOK, 40)
    for end in range(0, len(RICH_ANSWER), step):
        growing.lines(RICH_ANSWER[:end])
    whole = GrowingMarkdown(LOOK, 40).lines(RICH_ANSWER, complete=True)
    assert texts(growing.lines(RICH_ANSWER)) == texts(whole)


MARKDOWN_PIECES = st.sampled_from(
    [
        *("a word ", "\n", "\n\n", "- ", "# ", "```\n", "~~~py\n", "    ", "> ", "1. ", "**"),
        *(
            "`",
            "白泽",
            "🐉",
            "<div>",
            "[x](y)",
            "===\n",
            "\t",
            "[a]: b\n",
            "| a | b |\n|---|---|\n",
        ),
    ]
)


@given(st.lists(MARKDOWN_PIECES, max_size=25), st.integers(1, 9))
def test_any_text_that_grew_looks_like_one_drawn_at_once(pieces: list[str], step: int) -> None:
    text = "".join(pieces)
    growing = GrowingMarkdown(LOOK, 30)
    for end in range(0, len(text), step):
        growing.lines(text[:end])
    assert growing.lines(text, complete=True) == GrowingMarkdown(LOOK, 30).lines(
        text, complete=True
    )


def test_an_open_code_block_is_plain_and_a_closed_one_is_not() -> None:
    def colours(lines: list[Line]) -> set[str]:
        return {str(segment.style.color) for line in lines[1:] for segment in line if segment.style}

    growing = GrowingMarkdown(LOOK, 40)
    opened = growing.lines("```python\ndef f():\n    return 1\n")
    closed = growing.lines("```python\ndef f():\n    return 1\n```\n")
    assert texts(opened)[1:] == texts(closed)[1:] == [" def f():", "     return 1"]
    assert len(colours(opened)) == 1
    assert len(colours(closed)) > 1


def test_a_long_line_of_code_is_wrapped_not_cut() -> None:
    code = "x = " + "1 + " * 30 + "1"
    for source in (f"```\n{code}\n", f"```\n{code}\n```"):
        drawn = texts(GrowingMarkdown(LOOK, 30).lines(source))[1:]
        assert "".join(drawn).replace(" ", "") == code.replace(" ", "")


TABLE = """| Name | What it does | Where |
|:--|--|--:|
| supercalifragilisticexpialidocious | **folds** long words and long texts | here |
| 白泽 | knows 11,520 kinds of spirits | by the sea |
"""
LONG_WORD = "supercalifragilisticexpialidocious"


@pytest.mark.parametrize("width", [12, 20, 27, 31, 40, 60, 76])
def test_no_cell_of_a_table_is_cut(width: int) -> None:
    drawn = texts(GrowingMarkdown(LOOK, width).lines(TABLE, complete=True))
    assert all(cell_len(line) <= width for line in drawn)
    assert not any("…" in line for line in drawn)
    letters = "".join("".join(drawn).split())
    for character in set(LONG_WORD + "白泽11,520"):
        assert letters.count(character) >= (LONG_WORD + "白泽11,520").count(character)


def test_a_table_that_is_too_wide_is_a_list_of_its_rows() -> None:
    drawn = texts(GrowingMarkdown(LOOK, 27).lines(TABLE, complete=True))
    assert drawn[-5:] == [
        "",
        "Name: 白泽",
        "What it does: knows 11,520",
        "kinds of spirits",
        "Where: by the sea",
    ]


# --- what is painted ----------------------------------------------------------------------------


async def test_only_the_changed_lines_of_a_growing_answer_are_painted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(*talk(1), message(9, "first\n\nsecond", role="assistant")) as (
        transcript,
        pilot,
    ):
        turn = transcript.turns[-1]
        turn.growing = True
        transcript.redraw(turn)
        await pilot.pause()
        painted: list[Region] = []
        refresh = transcript.refresh

        def noted(*regions: Region, **options: bool) -> Transcript:
            painted.extend(regions or [transcript.size.region])
            refresh(*regions, **options)
            return transcript

        monkeypatch.setattr(transcript, "refresh", noted)
        transcript.update_turn(turn, message(9, "first\n\nsecond third", role="assistant"))
        await pilot.pause()
        assert [region.height for region in painted] == [1]
        assert "second third" in seen(transcript)
        transcript.update_turn(turn, message(9, "first\n\nsecond third\n\n4", role="assistant"))
        await pilot.pause()
        assert sum(region.height for region in painted[1:]) >= transcript.size.height  # it scrolled
        assert seen(transcript).rstrip().endswith("4")


async def test_the_scrollbar_knows_of_every_line(host: Host) -> None:
    async with host(message(1, "question")) as (transcript, pilot):
        transcript.add(message(2, "\n\n".join("abcdefghij"), role="assistant"))
        await pilot.pause()
        assert transcript.vertical_scrollbar.window_virtual_size == transcript.virtual_size.height
        transcript.add(message(3, "and on"))
        await pilot.pause()
        assert transcript.vertical_scrollbar.window_virtual_size == transcript.virtual_size.height
        assert "and on" in seen(transcript)


# --- the scroll position ------------------------------------------------------------------------


async def test_it_opens_at_the_end_and_follows(host: Host) -> None:
    async with host(*talk(20)) as (transcript, pilot):
        assert "in two lines." in seen(transcript)
        transcript.add(message(100, "one more"))
        await pilot.pause()
        assert "▌ one more" in seen(transcript)


async def test_new_text_does_not_move_a_scrolled_transcript(host: Host) -> None:
    async with host(*talk(20)) as (transcript, pilot):
        answer = transcript.add(message(100, "begin", role="assistant", state="streaming"))
        transcript.page(-1)
        transcript.page(-1)
        await pilot.pause()
        before = seen(transcript)
        for count in range(1, 40):
            transcript.update_turn(
                answer, msgspec.structs.replace(answer.message, text="line\n\n" * count)
            )
            await pilot.pause()
        assert seen(transcript) == before
        assert not transcript.following
        transcript.follow()
        assert "  line" in seen(transcript)


async def test_scrolling_back_to_the_end_follows_again(host: Host) -> None:
    async with host(*talk(5)) as (transcript, pilot):
        transcript.page(-1)
        before = transcript.following
        transcript.page(1)
        assert (before, transcript.following) == (False, True)
        transcript.add(message(100, "one more"))
        await pilot.pause()
        assert "one more" in seen(transcript)


async def test_earlier_turns_are_inserted_without_moving_the_lines_in_sight(host: Host) -> None:
    messages = talk(40)
    async with host(*messages[40:]) as (transcript, pilot):
        transcript.page(-1)
        await pilot.pause()
        before = seen(transcript)
        transcript.show_earlier(messages[:40], None)
        await pilot.pause()
        assert seen(transcript) == before
        transcript.scroll_to_start()
        assert "question 0." in seen(transcript)


async def test_every_line_is_seen_once_when_paging_to_the_start(host: Host) -> None:
    """Heights are estimates until a turn is drawn; nothing may be skipped for that."""
    async with host(*talk(30)) as (transcript, pilot):
        pages = [seen(transcript)]
        while transcript.scroll_y > 0:
            transcript.page(-1)
            await pilot.pause()
            pages.append(seen(transcript))
        for number in range(30):
            assert any(f"question {number}." in page for page in pages)
            assert any(f"answer {number}." in page for page in pages)
        for above, below in zip(pages[1:], pages, strict=False):
            assert above.split("\n")[-1] in below.split("\n")


async def test_a_resize_keeps_the_position(host: Host) -> None:
    async with host(*talk(30)) as (transcript, pilot):
        transcript.select(transcript.turns[20])
        await pilot.pause()
        assert "question 10." in seen(transcript)
        for width in (40, 100, 25, 60):
            await pilot.resize_terminal(width, 12)
            await wait_until(lambda width=width: transcript.size.width < width, "the resize")
            assert "question 10." in seen(transcript)


async def test_a_resize_at_the_end_stays_at_the_end(host: Host) -> None:
    async with host(*talk(30)) as (transcript, pilot):
        for width, height in ((30, 20), (120, 8), (60, 12)):
            await pilot.resize_terminal(width, height)
            await wait_until(lambda h=height: transcript.size.height <= h, "the resize")
            assert "in two lines." in seen(transcript)


# --- folds, marks and the cut -------------------------------------------------------------------


async def test_reasoning_is_folded_and_opened_by_a_click(host: Host) -> None:
    thought = message(2, "Paris.", role="assistant", reasoning="The capital\nis known.")
    async with host(message(1, "Capital?"), thought) as (transcript, _):
        assert "▸ thought · 4 words" in seen(transcript)
        assert "is known" not in seen(transcript)
        turn = transcript.turns[1]
        turn.unfold_reasoning = True
        transcript.redraw(turn)
        assert "│ is known." in seen(transcript)


@pytest.mark.parametrize("columns", [20, 30, 40, 51, 52, 53, 60])
async def test_a_note_below_an_answer_wraps(host: Host, columns: int) -> None:
    stopped = message(1, "", role="assistant", state="stopped", reasoning="Paris, surely.")
    async with host(stopped, size=(columns, 16)) as (transcript, _):
        words = " ".join(seen(transcript).split())
        assert "no answer after the thought · stopped · ctrl+g continues" in words


async def test_a_long_question_is_folded(host: Host) -> None:
    long = "\n".join(f"line {number}" for number in range(100))
    async with host(message(1, long), size=(60, 30)) as (transcript, _):
        assert "line 7" in seen(transcript)
        assert "line 8\n" not in seen(transcript)
        assert "88 more lines" in seen(transcript)
        assert "line 95" not in seen(transcript)
        assert "line 96" in seen(transcript)
        turn = transcript.turns[0]
        turn.unfolded = True
        transcript.redraw(turn)
        assert "line 95" in seen(transcript)


async def test_a_long_line_in_a_question_is_folded_too(host: Host) -> None:
    async with host(message(1, "word " * 100_000), size=(60, 30)) as (transcript, _):
        assert "499999 characters · alt+r unfolds" in seen(transcript)
        assert len([line for line in seen(transcript).split("\n") if "word" in line]) == 12


async def test_the_cut_of_the_context_is_drawn(host: Host) -> None:
    async with host(*talk(1), message(9, "now"), context_start=9, size=(60, 40)) as (transcript, _):
        lines = seen(transcript).split("\n")
        at = next(i for i, line in enumerate(lines) if "no longer sees" in line)
        assert lines[at + 2].endswith("now")


async def test_the_cut_says_when_pinned_turns_stay(host: Host) -> None:
    pinned = message(1, "kept", pinned=True)
    async with host(pinned, message(9, "now"), context_start=9) as (transcript, _):
        assert "the model sees only pinned ones" in seen(transcript)
        assert "pinned" in seen(transcript)


async def test_a_new_theme_redraws_everything(host: Host) -> None:
    async with host(*talk(2)) as (transcript, pilot):
        before = transcript.look
        pilot.app.theme = "textual-light"
        await pilot.pause()
        assert transcript.look != before
        assert not transcript.look.dark
        assert "in two lines." in seen(transcript)


async def test_a_head_comes_and_goes(host: Host) -> None:
    async with host(message(1, "Hi")) as (transcript, _):
        transcript.set_head("")
        assert "the head" not in seen(transcript)
        transcript.set_head("You are a pirate.")
        assert "You are a pirate." in seen(transcript).split("▌ Hi")[0]


async def test_a_light_theme_has_its_own_code_colours() -> None:
    light = replace(LOOK, dark=False)
    assert light.code_theme != LOOK.code_theme


@pytest.mark.parametrize("pinned", [False, True])
async def test_the_cut_has_the_summary_of_the_last_message_that_has_one(
    host: Host, pinned: bool
) -> None:
    messages = [
        message(1, "old", pinned=pinned),
        replace(message(3, "once the first"), summary="An older summary."),
        replace(message(5, "now"), summary="They talked."),
    ]
    async with host(*messages, context_start=3, size=(60, 40)) as (transcript, _):
        cut = transcript.cut
        assert cut is not None
        assert (cut.message_id, cut.summary) == (5, "They talked.")
        text = "sees pinned turns and a summary" if pinned else "sees a summary of the turns above"
        assert text in seen(transcript)
        assert "▸ summary · 2 words · alt+a edits" in seen(transcript)
        transcript.unfold_summary()
        assert "│ They talked." in seen(transcript)
        # Another summary is shown in its place, unfolded as before.
        transcript.mark_context_start(replace(messages[2], summary="They argued."))
        assert "│ They argued." in seen(transcript)
        assert "They talked." not in seen(transcript)
        transcript.unfold_summary()
        assert "They argued." not in seen(transcript)
