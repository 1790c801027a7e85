"""Greedy answers that were computed in batches of different sizes, or on other numbers of threads.

These round differently, so that of two tokens that are about as likely either may come first.
"""

from __future__ import annotations

from itertools import takewhile

from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Judge, Judged, Prompt

ROUNDING = 0.2
"""By how much of itself a probability may differ."""


def assert_same_but_for_rounding(
    engine: LlamaEngine, prompt: Prompt, answer: Finished, expected: Finished
) -> None:
    """The answers are the same, or part where both went on with a likeliest token."""
    if answer.ids == expected.ids:
        assert answer.reason == expected.reason
        return
    pairs = zip(answer.ids, expected.ids, strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    ids = expected.ids[: common + 1]
    *_, judged = engine.judge(Judge(2, prompt, ids))
    assert isinstance(judged, Judged)
    likeliest = judged.tokens[common].likeliest
    close = {
        choice.id
        for choice in likeliest
        if choice.probability > (1 - ROUNDING) * likeliest[0].probability
    }
    assert {answer.ids[common], expected.ids[common]} <= close
