"""The best and the worst answer to each instruction: what a model learns from feedback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.feedback.candidates import Candidates
from baize_train.feedback.judge import Judgement
from baize_train.feedback.scoring import Scores

Method = Literal["best", "dpo"]
"""Learn the best answers, or to prefer them to the worst (DPO)."""


class Preference(Struct, frozen=True):
    """The best and the worst answer to one question, by their mean scores."""

    question: list[Turn]
    best: str
    worst: str
    margin: float
    """Difference of their mean scores."""

    def best_dialogue(self) -> Dialogue:
        """The question with the best answer."""
        turns = [*self.question, Turn("assistant", self.best)]
        return Dialogue(turns, dialogue_id(turns), "sdf")


def read_preferences(dialogues: Iterable[Dialogue]) -> list[Preference]:
    """The pairs of answers in dialogues that were read from ``chosen`` and ``rejected``."""
    return [
        Preference(dialogue.messages[:-1], dialogue.messages[-1].content, worse, margin=1.0)
        for dialogue in dialogues
        if isinstance(worse := dialogue.meta.get("rejected_answer"), str)
        and len(dialogue.messages) > 1
        and dialogue.messages[-1].role == "assistant"
    ]


def find_preferences(
    candidates: Sequence[Candidates], scores: Mapping[str, Scores]
) -> list[Preference]:
    """A preference for each question with scores. An answer that was cut off is never the best."""
    preferences = []
    for item in candidates:
        given = scores.get(item.key)
        if given is None or not given.scores:
            continue
        means = Judgement(given.scores).means
        eligible = [at for at, ended in enumerate(item.complete) if ended and item.answers[at]]
        if not eligible:
            continue
        best = max(eligible, key=lambda at: means[at])
        worst = min(range(len(means)), key=lambda at: means[at])
        margin = means[best] - means[worst]
        preferences.append(
            Preference(item.question, item.answers[best], item.answers[worst], margin)
        )
    return preferences
