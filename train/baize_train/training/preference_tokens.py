"""Pairs of answers and marked answers as tokens. Needs no PyTorch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from baize_shared.trained_prompt import TrainedPrompt
from baize_train.errors import TrainError
from baize_train.feedback.marks import MarkedAnswer
from baize_train.feedback.preferences import Preference
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.skip_reasons import SkipReason, UntrainableDialogue
from baize_train.tokens.token_sets import TokenCounts
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.processes import count_processes
from baize_train.training.run import TrainingRun, count_epoch_steps

_SMALLEST_MARGIN = 1e-9
"""Equal scores teach nothing, whatever margin is asked for."""


class PreferenceTokens(NamedTuple):
    """Rows of token ids for DPO or KTO, what was counted, and how they are prompted.

    TRL cuts answers off at the maximum length: they are as short in the rows, and counted so.
    """

    rows: list[dict[str, Any]]
    counts: TokenCounts
    prompt: TrainedPrompt

    def steps(self, run: TrainingRun) -> int:
        """How many steps ``run`` takes."""
        return run.steps or count_epoch_steps(len(self.rows), run.preset)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with one of its answers."""
        answers = ("chosen_ids", "rejected_ids", "completion_ids")
        return max(
            len(row["prompt_ids"]) + max(len(row.get(name, ())) for name in answers)
            for row in self.rows
        )


def tokenize_pairs(
    run: TrainingRun, preferences: Sequence[Preference], least_margin: float
) -> PreferenceTokens:
    """Token ids of prompts, better and worse answers; ``least_margin`` are the points by which a
    better answer must be ahead.

    Raises:
        TrainError: no best answer is far enough ahead of its worst.
    """
    counts = TokenCounts()
    least_margin = max(least_margin, _SMALLEST_MARGIN)
    pairs: list[dict[str, Any]] = []
    with open_vocabulary(run.base, run.new_tokens) as model:
        format = choose_chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format)
        for preference in preferences:
            if preference.margin < least_margin:
                counts.count_skipped(SkipReason.NO_MARGIN)
                continue
            try:
                pairs.append(_tokenize_pair(preference, tokenizer, run.preset.max_length, counts))
            except UntrainableDialogue as error:
                counts.count_skipped(str(error))
    if not pairs:
        reasons = "; ".join(counts.left_out) or "there are no scores"
        raise TrainError(f"no pair of answers is left to train on: {reasons}")
    return PreferenceTokens(pairs, counts, TrainedPrompt(format.name, format.system))


def _tokenize_pair(
    preference: Preference, tokenizer: DialogueTokenizer, max_length: int, counts: TokenCounts
) -> dict[str, Any]:
    """The ids of a question and of both answers up to ``max_length``, added to ``counts``.

    Raises:
        UntrainableDialogue: nothing can be learned from it.
    """
    prompt = tokenizer.question_ids(preference.question, max_length)
    if not preference.best.strip():
        raise UntrainableDialogue(SkipReason.EMPTY_ANSWER)
    best = tokenizer.judged_answer_ids(preference.best)
    worst = tokenizer.judged_answer_ids(preference.worst)
    room = max_length - len(prompt)
    if best[:room] == worst[:room]:
        raise UntrainableDialogue(SkipReason.SAME_ANSWERS)
    counts.dialogues += 1
    counts.trained += len(best[:room]) + len(worst[:room])
    counts.ignored += 2 * len(prompt)
    counts.count_cut(len(best[room:]) + len(worst[room:]))
    return {"prompt_ids": prompt, "chosen_ids": best[:room], "rejected_ids": worst[:room]}


def tokenize_marks(run: TrainingRun, marks: Sequence[MarkedAnswer]) -> PreferenceTokens:
    """Token ids of prompts and answers with their labels, in a random order.

    Raises:
        TrainError: there are no answers of one kind; or see ``marks_at_once``.
    """
    marks_at_once(run)
    counts = TokenCounts()
    answers: list[dict[str, Any]] = []
    with open_vocabulary(run.base, run.new_tokens) as model:
        format = choose_chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format)
        for mark in marks:
            try:
                prompt = tokenizer.question_ids(mark.question, run.preset.max_length)
                whole = tokenizer.judged_answer_ids(mark.answer)
            except UntrainableDialogue as error:
                counts.count_skipped(str(error))
                continue
            answer = whole[: run.preset.max_length - len(prompt)]
            counts.count_cut(len(whole) - len(answer))
            answers.append({"prompt_ids": prompt, "completion_ids": answer, "label": mark.good})
            counts.dialogues += 1
            counts.trained += len(answer)
            counts.ignored += len(prompt)
    if len({answer["label"] for answer in answers}) < 2:
        skipped = "".join(f"; {reason}" for reason in counts.left_out)
        raise TrainError(f"marks need good and bad answers, and there is only one kind{skipped}")
    # TRL's trainer takes the answers in their order, because it compares neighbours.
    random.Random(run.seed).shuffle(answers)
    return PreferenceTokens(answers, counts, TrainedPrompt(format.name, format.system))


def marks_at_once(run: TrainingRun) -> int:
    """How many marks a device takes at once; KTO compares each with another one of them.

    Raises:
        TrainError: there is no other one.
    """
    at_once, _ = run.preset.split_batch(count_processes())
    if at_once < 2:
        raise TrainError(
            "marks are compared within --micro-batch: it has to be 2 or more, and to divide --batch"
        )
    return at_once
