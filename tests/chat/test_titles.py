"""The title that a question gives its conversation."""

from __future__ import annotations

import pytest

from baize_tui.chat.titles import title_from_question

LOG = "\n".join(f"line {number}" for number in range(61))


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is it?\nPlease be brief.", "What is it?"),
        ("\n\n# A heading\ntext", "A heading"),
        (f"{LOG}\n\nWhat went wrong?", "What went wrong?"),
        (f"{LOG}\n\nWhat went wrong?\nPlease be brief.", "What went wrong?"),
        (f"{LOG}\nWhat went wrong?", "What went wrong?"),
        (f"{LOG}\n\n\n\nWhat went wrong?\n\n", "What went wrong?"),
        (f"What went wrong?\n\n{LOG}", "What went wrong?"),
        ("x" * 3000 + "\nWhat is x?", "What is x?"),
        (" \n ", "New conversation"),
    ],
)
def test_a_title_is_the_question_not_the_pasted_text(question: str, title: str) -> None:
    assert title_from_question(question) == title
