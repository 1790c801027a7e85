"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """``(reasoning, answer)`` of a generated text, whole or still growing.

    Reasoning stands between think tags at the beginning; some templates open it in the prompt, so
    that only its end is generated.
    """
    begun = text.lstrip()
    if begun.startswith(OPEN):
        inside = begun[len(OPEN) :]
        reasoning, closed, answer = inside.partition(CLOSE)
        return reasoning.strip(), answer.lstrip() if closed else ""
    before, closed, answer = text.partition(CLOSE)
    if closed and OPEN not in before:
        return before.strip(), answer.lstrip()
    return "", text
