"""Corpora mixed by ratios, and split in two; the same every time for the same seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from baize_train.corpus.dialogues import Dialogue


def mixed(
    corpora: Sequence[tuple[Sequence[Dialogue], float]], seed: int = 0, total: int | None = None
) -> list[Dialogue]:
    """Dialogues of each corpus in the proportion of its ratio, in an order of their own.

    None is taken twice: without ``total`` as many as the ratios allow.
    """
    weights = sum(ratio for _, ratio in corpora)
    most = min((len(found) * weights / ratio for found, ratio in corpora if ratio > 0), default=0)
    wanted = most if total is None else min(total, most)
    chosen: list[Dialogue] = []
    generator = random.Random(seed)
    for found, ratio in corpora:
        chosen += generator.sample(list(found), round(wanted * ratio / weights) if weights else 0)
    generator.shuffle(chosen)
    return chosen


def split(
    dialogues: Sequence[Dialogue], part: float, seed: int = 0
) -> tuple[list[Dialogue], list[Dialogue]]:
    """Those to train on, and ``part`` (0.0 to 1.0) of all to evaluate with.

    A dialogue falls on the same side whatever stands beside it: by the hash of its id.
    """

    def place(dialogue: Dialogue) -> float:
        digest = hashlib.sha256(f"{seed} {dialogue.id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    held_out = [dialogue for dialogue in dialogues if place(dialogue) < part]
    return [dialogue for dialogue in dialogues if place(dialogue) >= part], held_out
