"""Splits a generated text into the model's reasoning and its answer."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """``(reasoning, answer)`` of a generated text, complete or still growing.

    Reasoning is between think tags at the beginning. Some templates put the opening tag into the
    prompt, so that only the closing one is generated.
    """
    stripped = text.lstrip()
    if stripped.startswith(_OPEN):
        inside = stripped[len(_OPEN) :]
        reasoning, closed, answer = inside.partition(_CLOSE)
        return reasoning.strip(), answer.lstrip() if closed else ""
    before, closed, answer = text.partition(_CLOSE)
    if closed and _OPEN not in before:
        return before.strip(), answer.lstrip()
    return "", text
