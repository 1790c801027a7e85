"""The line below an answer that says how it was made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from baize_tui.app.transcript.answer_line import answer_line
from baize_tui.store.records import AnswerSummary, BranchPosition
from tests.app.contrast import LEAST, contrast
from tests.app.transcript.hosting import Host, host, message, seen

MADE = AnswerSummary(
    model="smollm2-135m",
    adapters={"plum": 0.5, "off": 0.0, "pear": 1.0},
    prompt_tokens=160,
    reused_tokens=120,
    completion_tokens=45,
    ttft_s=0.3,
    decode_s=1.1,
)
ALONE = replace(MADE, adapters={})


@pytest.fixture(name="host")
def _host() -> Host:
    return host


@pytest.mark.parametrize(
    ("room", "line"),
    [
        (
            100,
            "smollm2-135m + plum + pear · 1.4 s · 45 tokens · 40 tokens/s · "
            "120 of 160 prompt tokens reused",
        ),
        (80, "smollm2-135m + plum + pear · 1.4 s · 45 tokens · 40 tokens/s · 120 of 160 reused"),
        (60, "smollm2-135m + plum + pear · 1.4 s · 45 tokens · 40 tokens/s"),
        (55, "smollm2-135m + plum + pear · 45 tokens · 40 tokens/s"),
        (51, "smollm2-135m + 2 adapters · 45 tokens · 40 tokens/s"),
        (40, "smollm2-135m + 2 adapters · 40 tokens/s"),
        (30, "smollm2-135m + 2 adapters"),
        (20, "smollm2-135m"),
        (10, "smollm2-1…"),
        (7, ""),
    ],
)
def test_the_least_important_parts_are_left_out_first(room: int, line: str) -> None:
    assert answer_line(MADE, room) == line


@given(st.builds(AnswerSummary, model=st.text(max_size=80)), st.integers(-5, 200))
def test_it_is_never_longer_than_the_room(made: AnswerSummary, room: int) -> None:
    assert cell_len(answer_line(made, room)) <= max(room, 0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (300.0, "5 min")]
)
def test_times_have_few_digits(seconds: float, text: str) -> None:
    assert f" · {text} · " in answer_line(replace(ALONE, ttft_s=0, decode_s=seconds), 100)


async def test_it_is_below_the_answer_with_the_branch_and_the_marks(host: Host) -> None:
    answer = replace(message(2, "Paris.", role="assistant", pinned=True), made=ALONE, mark="good")
    async with host(message(1, "Capital?"), answer, size=(120, 16)) as (transcript, _):
        transcript.show_branches({2: BranchPosition(2, 3)})
        lines = [line.strip() for line in seen(transcript).split("\n")]
        assert lines[lines.index("Paris.") + 1] == (
            "smollm2-135m · 1.4 s · 45 tokens · 40 tokens/s · 120 of 160 reused"
            " · ‹ 2/3 › · ▲ good · pinned"
        )


@pytest.mark.parametrize("columns", range(20, 60, 3))
async def test_branch_and_marks_stay_where_there_is_little_room(host: Host, columns: int) -> None:
    answer = replace(message(2, "Paris.", role="assistant"), made=MADE, mark="good")
    async with host(answer, size=(columns, 16)) as (transcript, _):
        transcript.show_branches({2: BranchPosition(2, 3)})
        (line,) = (line for line in seen(transcript).split("\n") if "‹" in line)
        assert line.endswith("‹ 2/3 › · ▲ good")


async def test_a_growing_answer_has_none(host: Host) -> None:
    answer = replace(message(2, "Par", role="assistant", state="streaming"), made=MADE)
    async with host(answer) as (transcript, _):
        assert "smollm2" not in seen(transcript)


async def test_it_is_not_copied_with_the_answer(host: Host) -> None:
    answer = replace(message(2, "Paris.", role="assistant"), made=MADE)
    async with host(answer, size=(100, 16)) as (transcript, pilot):
        transcript.text_select_all()
        await pilot.pause()
        assert pilot.app.screen.get_selected_text() == "the head\n\nParis."


@pytest.mark.parametrize("theme", ["baize-dark", "baize-light"])
@pytest.mark.parametrize("selected", [False, True])
async def test_it_is_dim_and_readable(host: Host, theme: str, selected: bool) -> None:
    answer = replace(message(2, "Paris.", role="assistant"), made=MADE)
    async with host(answer, size=(100, 16)) as (transcript, pilot):
        pilot.app.theme = theme
        await pilot.pause()
        transcript.select(transcript.turns[0] if selected else None)
        lines = (transcript.render_line(y) for y in range(transcript.size.height))
        (style,) = (
            segment.style for line in lines for segment in line if "smollm2" in segment.text
        )
        assert style is not None
        assert contrast(style) >= LEAST
        assert style.color != transcript.look.text.color


async def test_the_line_of_a_thought_says_how_long_it_took(host: Host) -> None:
    made = replace(MADE, thinking_tokens=24, completion_tokens=48, resumed_tokens=0, decode_s=24)
    answer = replace(message(2, "Paris.", role="assistant"), reasoning="They ask.", made=made)
    async with host(answer) as (transcript, _):
        assert "▸ thought for 12 s · 2 words" in seen(transcript)
