"""Self-distillation with feedback (paper, section 3.3): a second LoRA over the frozen first.

``h = W x + B_sft A_sft x + B_sdf A_sdf x``: the first is added to the weights in memory, which is
the same, and makes the model with it what DPO compares with. Only the second is trained and saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from baize_train.errors import TrainError
from baize_train.feedback.scoring import Choice
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenCounts
from baize_train.tokens.vocabulary import chat_format, open_vocabulary
from baize_train.training.base_model import device, load_base
from baize_train.training.checkpoints import WEIGHTS
from baize_train.training.finetune import (
    Corpus,
    Report,
    Run,
    begin,
    complete,
    measured,
    settings_of,
    steps_of,
    token_sets,
    train_supervised,
    with_lora,
)
from baize_train.training.run_manifest import RunManifest, sha256_of, versions
from baize_tui.engine.protocol import PromptMessage

Method = Literal["best", "dpo"]
BETA = 0.1
"""How far DPO may go from the model it began with."""


class SdfRun(Struct, frozen=True):
    """A second LoRA over ``adapter``; ``run.corpus`` is filled from the choices."""

    run: Run
    adapter: Path
    method: Method
    choices: list[Choice]
    least_margin: float
    """Points that the best has to be ahead of the worst, for DPO."""
    feedback: dict[str, Any]
    """Who judged and how, for the manifest."""


def train_sdf(sdf: SdfRun, report: Report = lambda *_: None) -> RunManifest:
    """Train on the best answers, or on the best against the worst.

    Raises:
        TrainError: see ``finetune``; or no choice is left.
    """
    if sdf.method == "dpo":
        return _prefer(sdf, report)
    best = Corpus([choice.dialogue() for choice in sdf.choices], sdf.run.corpus.files)
    run = msgspec.structs.replace(sdf.run, corpus=best)
    sets = token_sets(run)
    count = steps_of(run, sets[0])
    manifest = _manifest(sdf, count, sets[0].counts)
    if (done := begin(manifest, run.output)) is not None:
        return done
    return train_supervised(_two_adapters(sdf), run, manifest, sets, count, report)


def _prefer(sdf: SdfRun, report: Report) -> RunManifest:
    import datasets

    from baize_train.training.trainers import preferring

    run = sdf.run
    rows, counts = _pairs(sdf)
    count = run.steps or max(1, round(len(rows) * run.preset.epochs / run.preset.batch))
    manifest = _manifest(sdf, count, counts)
    if (done := begin(manifest, run.output)) is not None:
        return done
    model = _two_adapters(sdf)
    steps = measured(model, run, manifest, count)
    data = datasets.Dataset.from_list(rows)
    trainer, watch = preferring(model, run.preset, steps, run.output, data, report, BETA)
    tokens = (counts.trained + counts.ignored) / len(rows)
    return complete(trainer, watch, run, manifest, steps, tokens)


def _pairs(sdf: SdfRun) -> tuple[list[dict[str, list[int]]], TokenCounts]:
    """Prompts, better and worse answers as ids.

    Raises:
        TrainError: no best is far enough ahead of its worst.
    """
    run, counts = sdf.run, TokenCounts()
    rows = []
    with open_vocabulary(run.base) as model:
        format = chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format)
        for choice in sdf.choices:
            if choice.margin < max(sdf.least_margin, 1e-9) or choice.best == choice.worst:
                counts.leave_out("the best is not ahead of the worst")
                continue
            asked = [PromptMessage(turn.role, turn.content) for turn in choice.question]
            prompt = tokenizer.prompt_ids(asked)
            best, worst = (tokenizer.answer_ids(text) for text in (choice.best, choice.worst))
            if len(prompt) >= run.preset.max_length:
                counts.leave_out("the question is longer than --max-length")
                continue
            rows.append({"prompt_ids": prompt, "chosen_ids": best, "rejected_ids": worst})
            counts.dialogues += 1
            counts.trained += len(best) + len(worst)
            counts.ignored += 2 * len(prompt)
    if not rows:
        raise TrainError(
            f"no pair is left to learn from: {'; '.join(counts.left_out) or 'there are no scores'}"
        )
    return rows, counts


def _manifest(sdf: SdfRun, count: int, counts: TokenCounts) -> RunManifest:
    run = sdf.run
    return RunManifest(
        kind="dpo" if sdf.method == "dpo" else "sdf",
        base=str(run.base),
        base_sha256=sha256_of(run.base),
        settings={
            **settings_of(run, count),
            "adapter": str(sdf.adapter),
            "adapter_sha256": sha256_of(sdf.adapter / WEIGHTS),
            "least_margin": sdf.least_margin,
            **sdf.feedback,
        },
        data=run.corpus.files,
        held_out=[],
        teachers=[str(sdf.feedback["judge"])],
        tokens=counts,
        held_out_tokens=TokenCounts(),
        versions=versions(),
        device=device(),
    )


def _two_adapters(sdf: SdfRun) -> Any:
    """The base with the first adapter in its weights, and a new one over it.

    Raises:
        TrainError: the first is none, or not of this base.
    """
    from peft import PeftModel

    try:
        first = PeftModel.from_pretrained(load_base(sdf.run.base), str(sdf.adapter))
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        raise TrainError(f"{sdf.adapter} is no adapter of {sdf.run.base}: {why}") from error
    model = first.merge_and_unload()
    model.requires_grad_(False)
    return with_lora(model, sdf.run)
