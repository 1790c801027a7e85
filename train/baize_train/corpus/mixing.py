"""Mix corpora by ratios and split one in two, reproducibly for the same seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from baize_train.corpus.dialogues import Dialogue


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
    for dialogues, ratio in corpora:
        count = round(size * ratio / ratios) if ratios else 0
        chosen += generator.sample(list(dialogues), count)
    generator.shuffle(chosen)
    return chosen


def split(
    dialogues: Sequence[Dialogue], part: float, seed: int = 0
) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues to train on, and those to hold out: about ``part`` (0.0 to 1.0) of all.

    The hash of its id decides the side of a dialogue, so other dialogues do not change it.
    """

    def position(dialogue: Dialogue) -> float:
        digest = hashlib.sha256(f"{seed} {dialogue.id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    held_out = [dialogue for dialogue in dialogues if position(dialogue) < part]
    return [dialogue for dialogue in dialogues if position(dialogue) >= part], held_out
