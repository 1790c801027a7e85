"""``baize-train sdf``: sample answers, judge them, train a second LoRA on the best."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.private_files import private_folder
from baize_shared.typed_text import typed_file
from baize_train.cli import flags
from baize_train.cli.bases import find_base
from baize_train.cli.libraries import (
    disable_progress_bars,
    require_training_libraries,
    silence_libraries,
)
from baize_train.cli.output.feedback import print_feedback
from baize_train.cli.output.runs import print_run
from baize_train.cli.progress import CountProgress, StepsProgress
from baize_train.cli.speaker_options import ServerFlags, server_access
from baize_train.cli.training_options import (
    TrainingOptions,
    adapter_tokens,
    choose_preset,
    require_option_libraries,
    trained_prompt,
)
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.feedback.candidates import Candidates, sample_candidates
from baize_train.feedback.judge import JudgeOptions, check_passes
from baize_train.feedback.preferences import Method, Preference, find_preferences
from baize_train.feedback.scoring import Scores, score_candidates
from baize_train.selfchat.seeds import drop_repeated_seeds, read_seeds
from baize_train.speakers.gguf_speaker import open_trained_model
from baize_train.speakers.runnable_model import check_adapters, make_runnable
from baize_train.speakers.speaker import SamplingOptions, Speaker
from baize_train.speakers.specs import ServerAccess, open_speaker
from baize_train.training.processes import is_only_process
from baize_train.training.run import TrainingData, TrainingRun, refuse_other_output
from baize_train.training.run_manifest import DataFile, sha256_digest

_WORK_FOLDER = "work"
"""For converted models, inside the output folder."""


@dataclass(frozen=True, kw_only=True)
class SdfOptions(TrainingOptions, ServerFlags):
    """Options of ``baize-train sdf``."""

    adapter: Annotated[Path, typer.Option(help="Folder of the first LoRA, from finetune.")]
    seeds: Annotated[
        list[str], typer.Option(help="Instructions: a file, or domain:NAME.", parser=typed_file)
    ]
    judge: Annotated[
        str,
        typer.Option(
            help="Who scores the answers: local:MODEL or server:URL#model.", parser=typed_file
        ),
    ] = "local:"
    speaker: Annotated[
        str | None,
        typer.Option(
            help="Who answers: a server with the adapter; by default this machine.",
            parser=typed_file,
        ),
    ] = None
    method: Annotated[
        Method, typer.Option(help="Learn the best answers, or to prefer them to the worst.")
    ] = "best"
    answers: Annotated[int, typer.Option(min=2, help="Answers to each instruction.")] = 4
    passes: flags.Passes = 2
    least_margin: Annotated[
        float,
        typer.Option(
            parser=FiniteFloat(min=0.0), help="Points by which the best must lead, for dpo."
        ),
    ] = 5.0
    limit: Annotated[int | None, typer.Option(min=1, help="Most instructions.")] = None
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens of an answer.")] = 512
    temperature: flags.Temperature = 1.0
    top_p: flags.TopP = 0.95
    preset: flags.Preset = "baize-v1.5"


@dataclass(frozen=True)
class _Feedback:
    """Answers with a judge's scores."""

    judge: str
    candidates: list[Candidates]
    scores: dict[str, Scores]

    @property
    def judged(self) -> int:
        """Instructions with scores."""
        return sum(bool(item.scores) for item in self.scores.values())

    def sha256(self) -> str:
        """Of all answers and scores."""
        ordered = sorted(self.scores.values(), key=lambda item: item.key)
        return hashlib.sha256(msgspec.json.encode([self.candidates, ordered])).hexdigest()


def run_sdf(options: SdfOptions) -> None:
    """Collect feedback, train on it and print the result."""
    check_passes(options.passes)
    if not is_only_process():
        raise TrainError("sdf runs in one process: start it without a launcher")
    require_training_libraries()
    require_option_libraries(options)
    disable_progress_bars()
    preset = choose_preset(options)
    if preset.full or preset.added_tokens:
        raise TrainError("sdf trains a LoRA over --adapter, without new tokens and not --full")
    refuse_other_output(options.output)
    base = find_base(options.base, "train")
    check_adapters(base, [options.adapter])
    questions, repeated = _read_questions(options)
    _make_folder(options.output)
    access = server_access(options, [options.judge, *filter(None, [options.speaker])])
    answerer = _open_answerer(options, base, access)
    judge = open_speaker([options.judge], access)
    identity = _model_identity(options, base)
    feedback = asyncio.run(_collect_feedback(options, answerer, judge, questions, identity))
    if not options.json:
        count = len(feedback.candidates)
        print_feedback(count, feedback.judged, repeated, judge.name, options.output)
    _train(options, base, feedback, _require_preferences(feedback))


def _read_questions(options: SdfOptions) -> tuple[list[list[Turn]], int]:
    """The instructions as dialogues of one turn, and how many were repeated."""
    instructions, repeated = drop_repeated_seeds(
        (seed for source in options.seeds for seed in read_seeds(source)), 1.0
    )
    return [[Turn("user", text)] for text in instructions[: options.limit]], repeated


def _make_folder(output: Path) -> None:
    try:
        private_folder(output)
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error


def _open_answerer(options: SdfOptions, base: Path, access: ServerAccess) -> Speaker:
    """The server that the options name, or the base with the adapter on this machine."""
    if options.speaker is not None:
        return open_speaker([options.speaker], access)
    model = make_runnable(base, [options.adapter], options.output / _WORK_FOLDER)
    format, system = trained_prompt(options.adapter, options.format, options.system)
    return open_trained_model(options.adapter.name, model, format, system)


def _model_identity(options: SdfOptions, base: Path) -> list[str | None]:
    """What the answers depend on besides the speaker's name and the sampling."""
    return [str(base), sha256_digest(options.adapter), options.format, options.system]


async def _collect_feedback(
    options: SdfOptions,
    answerer: Speaker,
    judge: Speaker,
    questions: Sequence[list[Turn]],
    identity: list[str | None],
) -> _Feedback:
    sampling = SamplingOptions(options.max_tokens, options.temperature, options.top_p, options.seed)
    judging = JudgeOptions(options.passes, options.seed)
    try:
        with CountProgress("answered") as report:
            candidates = await sample_candidates(
                answerer, questions, options.answers, sampling, options.output, report, identity
            )
        with CountProgress("judged") as report:
            scores = await score_candidates(judge, candidates, options.output, judging, report)
    finally:
        await answerer.close()
        await judge.close()
    return _Feedback(judge.name, candidates, scores)


def _require_preferences(feedback: _Feedback) -> list[Preference]:
    preferences = find_preferences(feedback.candidates, feedback.scores)
    if not preferences:
        problems = (item.problem for item in feedback.scores.values() if item.problem)
        raise TrainError(f"no answer can be trained on: {next(problems, 'there are no answers')}")
    return preferences


def _train(
    options: SdfOptions, base: Path, feedback: _Feedback, preferences: list[Preference]
) -> None:
    silence_libraries()
    # Imported here: PyTorch takes seconds.
    from baize_train.training.sdf import SdfRun, train_sdf

    format, system = trained_prompt(options.adapter, options.format, options.system)
    source = DataFile(", ".join(options.seeds), feedback.sha256(), len(preferences))
    run = TrainingRun(
        base=base,
        data=TrainingData([], [source]),
        held_out=TrainingData(),
        output=options.output,
        preset_name=options.preset,
        preset=choose_preset(options),
        new_tokens=adapter_tokens(options.adapter),
        format=format,
        system=system,
        steps=options.steps,
        seed=options.seed,
        checkpointing=options.checkpointing,
        save_every=options.save_every,
        kernels=options.kernels,
        report_to=options.report_to,
    )
    sdf = SdfRun(
        run=run,
        adapter=options.adapter.absolute(),
        method=options.method,
        preferences=preferences,
        least_margin=options.least_margin,
        feedback={"judge": feedback.judge, "answers": options.answers, "passes": options.passes},
    )
    with StepsProgress() as report:
        manifest = train_sdf(sdf, report)
    print_run(
        manifest,
        run,
        adapters=[options.adapter, options.output],
        json=options.json,
        more={"instructions": len(feedback.candidates), "judged": feedback.judged},
    )
