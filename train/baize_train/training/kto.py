"""Learn from single answers that were marked as good or bad (KTO, arXiv 2402.01306)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import datasets
from msgspec import Struct

from baize_shared.trained_prompt import TrainedPrompt
from baize_train.errors import TrainError
from baize_train.feedback.marks import MarkedAnswer
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.skip_reasons import UntrainableDialogue
from baize_train.tokens.token_sets import TokenCounts
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.base_model import choose_device
from baize_train.training.fit import fit, plan_training
from baize_train.training.lora import add_lora
from baize_train.training.processes import count_processes
from baize_train.training.progress import LossRecorder, ReportStep
from baize_train.training.reporting import prepare_reports
from baize_train.training.run import TrainingRun, claim_output, weight_settings
from baize_train.training.run_manifest import RunManifest, package_versions, sha256_digest
from baize_train.training.sdf import first_adapter_settings, load_first
from baize_train.training.trainers import KtoWeights, make_kto_trainer


class KtoRun(Struct, frozen=True):
    """A LoRA that learns from marks, over the base or over ``adapter``. The marks take the place of
    ``run.data.dialogues``."""

    run: TrainingRun
    adapter: Path | None
    marks: list[MarkedAnswer]


def train_kto(kto: KtoRun, report: ReportStep = lambda *_: None) -> RunManifest:
    """Train on the marks of ``kto``; resumes as ``finetune`` does.

    Raises:
        TrainError: see ``finetune``; or there are not marks of both kinds.
    """
    run = kto.run
    at_once, _ = run.preset.split_batch(count_processes())
    if at_once < 2:
        raise TrainError(
            "marks are compared within --micro-batch: it has to be 2 or more, and to divide --batch"
        )
    answers, counts, prompt = _tokenize_marks(kto)
    steps = run.steps or max(1, round(len(answers) * run.preset.epochs / run.preset.batch))
    manifest = _describe(kto, steps, counts, at_once)
    if (finished := claim_output(manifest, run.output)) is not None:
        return finished
    prepare_reports(run.report_to, run.output)
    model = add_lora(load_first(run, kto.adapter), run)
    recorder = LossRecorder(report)
    options = plan_training(model, run, manifest, steps, prompt)
    dataset = datasets.Dataset.from_list(answers)
    trainer = make_kto_trainer(model, options, dataset, _balance(answers), recorder)
    return fit(
        trainer, options, manifest, recorder, (counts.trained + counts.ignored) / len(answers)
    )


def _tokenize_marks(kto: KtoRun) -> tuple[list[dict[str, Any]], TokenCounts, TrainedPrompt]:
    """Token ids of prompts and answers with their labels, in a random order; and how they are
    prompted.

    Raises:
        TrainError: there are no answers of one kind.
    """
    run, counts = kto.run, TokenCounts()
    answers: list[dict[str, Any]] = []
    with open_vocabulary(run.base) as model:
        format = choose_chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format)
        for mark in kto.marks:
            try:
                prompt = tokenizer.question_ids(mark.question, run.preset.max_length)
            except UntrainableDialogue as error:
                counts.count_skipped(str(error))
                continue
            answer = tokenizer.answer_ids(mark.answer)
            answers.append({"prompt_ids": prompt, "completion_ids": answer, "label": mark.good})
            counts.dialogues += 1
            counts.trained += len(answer)
            counts.ignored += len(prompt)
    if len({answer["label"] for answer in answers}) < 2:
        skipped = "".join(f"; {reason}" for reason in counts.left_out)
        raise TrainError(f"marks need good and bad answers, and there is only one kind{skipped}")
    # TRL's trainer takes the answers in their order, because it compares neighbours.
    random.Random(run.seed).shuffle(answers)
    return answers, counts, TrainedPrompt(format.name, format.system)


def _balance(answers: list[dict[str, Any]]) -> KtoWeights:
    """Weights with which good and bad answers count the same, whatever their numbers (eq. 8)."""
    good = sum(answer["label"] for answer in answers)
    bad = len(answers) - good
    return KtoWeights(max(1.0, bad / good), max(1.0, good / bad))


def _describe(kto: KtoRun, steps: int, counts: TokenCounts, at_once: int) -> RunManifest:
    """The manifest before training starts."""
    run = kto.run
    return RunManifest(
        kind="kto",
        base=str(run.base),
        base_sha256=sha256_digest(run.base),
        settings={
            **weight_settings(run, steps),
            **first_adapter_settings(kto.adapter),
            "compared_at_once": at_once,
        },
        data=run.data.files,
        held_out=[],
        teachers=[],
        tokens=counts,
        held_out_tokens=TokenCounts(),
        versions=package_versions(),
        device=choose_device(),
    )
