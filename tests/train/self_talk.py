"""A model that asks, answers and writes transcripts, for scripted servers."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

TRANSCRIPT = "[Human] Why {n}?\n[AI] Because of {n}.\n[Human] And then?\n[AI] Then comes {m}.\n"
WORDS = ["oak", "river", "paper", "stone", "lamp", "cloud", "bread", "chair", "glass", "wool"]


def talk(messages: list[dict[str, str]]) -> str:
    """Asks, answers, or writes a whole dialogue, as the prompt demands; never twice the same."""
    first, last = messages[0]["content"], messages[-1]["content"]
    number = zlib.crc32(json.dumps(messages).encode()) % 10**6
    word, other = WORDS[number % len(WORDS)], WORDS[number // 100 % len(WORDS)]
    if first.startswith("Forget the instruction"):
        return TRANSCRIPT.format(n=f"{word} {number}", m=f"{other} {number // 7}")
    if first.startswith("You play a person"):
        return f"What about the {word} of {number}?"
    return f"About {last[:20]!r}: the {other} {number} is {word}."


def read_records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
