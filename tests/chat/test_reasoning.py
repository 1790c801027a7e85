"""Reasoning is split from the answer."""

from __future__ import annotations

import pytest

from baize_tui.chat.reasoning import split_reasoning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ("", "plain")),
        ("", ("", "")),
        ("<think>why", ("why", "")),
        ("<think>\nwhy\n</think>\n\nBecause.", ("why", "Because.")),
        ("\n<think></think>Yes", ("", "Yes")),
        ("opened in the prompt</think>Yes", ("opened in the prompt", "Yes")),
        ("text with <think>later</think>", ("", "text with <think>later</think>")),
    ],
)
def test_split(text: str, expected: tuple[str, str]) -> None:
    assert split_reasoning(text) == expected
