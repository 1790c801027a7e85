"""The texts that tokenizers and predictions are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

Turn = tuple[Literal["system", "user", "assistant"], str]
"""The role and the text of a message."""
DEFAULT_TOKENS = 768
"""Tokens of the text that are predicted."""
_GROUP = 16
CONVERSATION: tuple[Turn, ...] = (
    ("system", "Answer in one sentence."),
    ("user", "What is  the 白泽?\n\n    1. in short"),
    ("assistant", "A beast that knows all 11,520 kinds of ghosts. 🐉"),
    ("user", "Thanks!\n"),
)


def verification_text() -> str:
    """A text in many scripts, with code, numbers and emoji."""
    return files("baize_convert.parity").joinpath("text.txt").read_text("utf-8")


def text_samples() -> list[str]:
    """Each line of the text, and the whole of it, which contains line ends."""
    text = verification_text()
    edges = ["", " ", "  two spaces", "end  ", "\n", "a\n\n\nb\r\n\tc", "\u00a0x\u3000y", "1234567"]
    edges.append("cafe\u0301, de\u0301compose\u0301")
    return [*edges, *(line for line in text.split("\n") if line), text]


def special_samples(specials: Sequence[str]) -> list[str]:
    """Texts with each special token alone, at both ends, and between words with and without spaces.

    Several tokens share a text, because a vocabulary may have thousands of them.
    """
    groups = [specials[at : at + _GROUP] for at in range(0, len(specials), _GROUP)]
    return [*specials, *("; ".join(map(special_sample, group)) for group in groups)]


def special_sample(special: str) -> str:
    """A text with this special token in all places."""
    return f"{special}one {special} two{special}three {special}"
