"""Mix corpora by ratios and split one in two, reproducibly for the same seed."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence

from baize_train.corpus.dialogues import Dialogue

_ROUNDING = 1e-6
"""Larger than what floats lose in a sum of shares."""


def mix(
    corpora: Sequence[tuple[Sequence[Dialogue], float]], seed: int = 0, total: int | None = None
) -> list[Dialogue]:
    """Dialogues of each corpus in the proportion of its ratio, shuffled.

    No dialogue is taken twice. Without ``total`` the result is as large as the ratios allow.
    """
    ratios = sum(ratio for _, ratio in corpora)
    largest = min(
        (len(dialogues) * ratios / ratio for dialogues, ratio in corpora if ratio > 0), default=0
    )
    size = largest if total is None else min(total, largest)
    chosen: list[Dialogue] = []
    generator = random.Random(seed)
    share = 0.0
    for dialogues, ratio in corpora:
        share += size * ratio / ratios if ratios else 0
        # The rest of a rounded share is the next one's, so that there are never more than size.
        count = math.floor(share + _ROUNDING) - len(chosen)
        chosen += generator.sample(list(dialogues), min(count, len(dialogues)))
    generator.shuffle(chosen)
    return chosen


def split(
    dialogues: Sequence[Dialogue], part: float, seed: int = 0
) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues to train on, and those to hold out: about ``part`` (0.0 to 1.0) of all.

    The hash of its id decides the side of a dialogue, so other dialogues do not change it; but a
    side that would be empty gets one.
    """
    held_out = [dialogue for dialogue in dialogues if _position(dialogue, seed) < part]
    if 0 < part < 1 and len(held_out) in (0, len(dialogues)):
        return hold_out(dialogues, part, seed)
    return [dialogue for dialogue in dialogues if _position(dialogue, seed) >= part], held_out


def hold_out(
    dialogues: Sequence[Dialogue], part: float, seed: int = 0
) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues to train on, and exactly ``part`` of all to hold out, rounded.

    At least one is held out if ``part`` is more than 0, and at least one is left to train on.
    """
    count = min(max(round(part * len(dialogues)), int(part > 0)), max(len(dialogues) - 1, 0))
    places = sorted(range(len(dialogues)), key=lambda at: (_position(dialogues[at], seed), at))
    chosen = set(places[:count])
    kept = [dialogue for at, dialogue in enumerate(dialogues) if at not in chosen]
    return kept, [dialogues[at] for at in sorted(chosen)]


def _position(dialogue: Dialogue, seed: int) -> float:
    """Where the hash of its id puts a dialogue, 0.0 to 1.0."""
    digest = hashlib.sha256(f"{seed} {dialogue.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
