"""Searched words in drawn lines, however these are wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from baize_tui.app.transcript.found import find_in_lines
from baize_tui.app.transcript.look import Look, line_text
from baize_tui.app.transcript.turn import Turn
from baize_tui.store.words import Term, find_terms
from tests.app.transcript.hosting import message

NONE = Style.null()
LOOK = Look(NONE, NONE, NONE, NONE, NONE, NONE, NONE, dark=True, few_colours=False)
TEXT = st.lists(
    st.sampled_from(
        [
            "plum",
            "Plums",
            "merge",
            "sort",
            "é",
            "白泽",
            "白",
            "x" * 30,
            " ",
            " ",
            "  ",
            "\n",
            "-",
            "🎉",
        ]
    ),
    max_size=40,
).map("".join)
TERMS = st.lists(
    st.sampled_from(["plum", "merge sort", "白泽", "白", "plum plum", "e", "x" * 30, "🎉"]),
    min_size=1,
    max_size=2,
    unique=True,
).map(lambda texts: [term for text in texts if (term := Term.of(text, prefix=True))])


def matched(text: str, terms: list[Term], width: int, role: str = "user") -> list[str]:
    """What is marked in a drawn message; what is in several lines is joined."""
    turn = Turn(message=message(1, text, role=role), unfolded=True)
    lines = turn.draw(width, LOOK)
    return [
        " ".join(line_text(lines[piece.line])[piece.first : piece.last] for piece in match)
        for match in find_in_lines(lines, terms)
    ]


@given(TEXT, TERMS, st.integers(12, 80))
def test_matches_in_drawn_lines_are_those_of_the_text(
    text: str, terms: list[Term], width: int
) -> None:
    text = text.strip().expandtabs()
    expected = [text[start:end] for start, end in find_terms(text, terms)]
    found = matched(text, terms, width)
    assert ["".join(each.split()) for each in found] == ["".join(each.split()) for each in expected]


@pytest.mark.parametrize(
    "answer",
    [
        "# A plum heading",
        "- one\n- a **plum** that is in a list and that is long enough to be wrapped: plum",
        "> said: plum",
        "```python\nplum = 1  # plum\n```",
        "| fruit | tree |\n|---|---|\n| plum | yes |",
        "a [plum](http://example.com)",
    ],
)
@pytest.mark.parametrize("width", [30, 90])
def test_matches_in_markdown_are_words_on_the_screen(answer: str, width: int) -> None:
    (term,) = (Term.of("plum", prefix=True),)
    assert term is not None
    expected = answer.count("plum")
    assert matched(answer, [term], width, role="assistant") == ["plum"] * expected
