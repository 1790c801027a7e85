"""``baize-train eval``: compare base, adapters and merged GGUFs."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.typed_text import typed_file
from baize_train.cli import flags
from baize_train.cli.bases import find_base
from baize_train.cli.output.evaluations import print_evaluation
from baize_train.cli.progress import CountProgress
from baize_train.cli.reading_options import ReadingOptions
from baize_train.cli.speaker_options import ServerFlags, server_access
from baize_train.cli.training_options import trained_prompt
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError
from baize_train.evaluation.comparison import (
    Comparison,
    answer_questions,
    compare_answers,
    first_questions,
)
from baize_train.evaluation.perplexity import Perplexity, measure_perplexity, tokenize_for_model
from baize_train.feedback.judge import JudgeOptions, check_passes
from baize_train.speakers.gguf_speaker import open_trained_model
from baize_train.speakers.runnable_model import RunnableModel, check_adapters, make_runnable
from baize_train.speakers.speaker import SamplingOptions, Speaker
from baize_train.speakers.specs import open_speaker


@dataclass(frozen=True, kw_only=True)
class EvalOptions(ServerFlags, ReadingOptions):
    """Options of ``baize-train eval``."""

    data: Annotated[list[Path], typer.Option("--data", help="Held-out dialogues.")]
    base: flags.Base = "smollm2-135m"
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="A LoRA on the base; a second one is added to the first."),
    ] = None
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="A GGUF, as from baize-convert merge.")
    ] = None
    judge: Annotated[
        str | None,
        typer.Option(
            help="Who compares answers: local:MODEL or server:URL#model.", parser=typed_file
        ),
    ] = None
    questions: Annotated[int, typer.Option(min=1, help="Questions for the comparison.")] = 20
    passes: flags.Passes = 2
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens of an answer.")] = 256
    max_length: Annotated[int, typer.Option(min=16, help="Tokens of a dialogue.")] = 2048
    format: flags.Format = None
    system: flags.System = None
    seed: flags.Seed = 0
    json: flags.Json = False


def run_eval(options: EvalOptions) -> None:
    """Measure all models, let a judge compare them if there is one, and print a table."""
    for adapter in options.adapter or []:
        format, system = trained_prompt(adapter, options.format, options.system)
        options = dataclasses.replace(options, format=format, system=system)
    check_passes(options.passes)
    dialogues = list(options.read(options.data))
    if not dialogues:
        raise TrainError("there are no dialogues to evaluate with")
    base = find_base(options.base, "run")
    check_adapters(base, options.adapter or [])
    with tempfile.TemporaryDirectory() as work:
        models = _open_models(options, base, Path(work))
        perplexities = {
            name: _measure(options, name, model, dialogues) for name, model in models.items()
        }
        comparisons: dict[str, Comparison] = {}
        if options.judge is not None:
            judge = open_speaker([options.judge], server_access(options, [options.judge]))
            comparisons = asyncio.run(_compare(options, judge, models, dialogues))
    print_evaluation(options.data, perplexities, comparisons, json=options.json)


def _open_models(options: EvalOptions, base: Path, work: Path) -> dict[str, RunnableModel]:
    """The models by their names in the table, the base first."""
    adapters = options.adapter or []
    models = {f"base: {options.base}": make_runnable(base, [], work)}
    for count in range(1, len(adapters) + 1):
        name = " + ".join(_short_name(adapter) for adapter in adapters[:count])
        models[f"adapter: {name}"] = make_runnable(base, adapters[:count], work)
    for file in options.model or []:
        if not file.is_file():
            raise TrainError(f"{file}: no such file")
        models[f"GGUF: {_short_name(file)}"] = RunnableModel(file)
    return models


def _short_name(path: Path) -> str:
    return path.stem if path.is_file() else path.name


def _measure(
    options: EvalOptions, name: str, model: RunnableModel, dialogues: Sequence[Dialogue]
) -> Perplexity:
    tokens = tokenize_for_model(
        dialogues, model, options.format, options.system, options.max_length
    )
    with CountProgress(f"reading · {name}") as report:
        return measure_perplexity(model, tokens, options.max_length, report)


async def _compare(
    options: EvalOptions,
    judge: Speaker,
    models: Mapping[str, RunnableModel],
    dialogues: Sequence[Dialogue],
) -> dict[str, Comparison]:
    """Each of the other models against the first."""
    questions = first_questions(dialogues, options.questions)
    try:
        answers = {
            name: await _answer(options, name, model, questions) for name, model in models.items()
        }
        first, *others = answers
        comparisons = {}
        judging = JudgeOptions(options.passes, options.seed)
        for name in others:
            with CountProgress(f"judging · {name}") as report:
                comparisons[name] = await compare_answers(
                    judge, questions, answers[first], answers[name], judging, report
                )
        return comparisons
    finally:
        await judge.close()


async def _answer(
    options: EvalOptions, name: str, model: RunnableModel, questions: Sequence[Sequence[Turn]]
) -> list[str]:
    speaker = open_trained_model(name, model, options.format, options.system)
    sampling = SamplingOptions(options.max_tokens, temperature=0.0, seed=options.seed)
    try:
        return await answer_questions(speaker, questions, sampling)
    finally:
        await speaker.close()
