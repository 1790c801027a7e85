"""``baize-train sdf``: several answers, a judge, and a second LoRA that learns from the best."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from baize_train.cli import flags
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.feedback.judge import check_passes
from baize_train.feedback.scoring import (
    SCORES,
    Answers,
    Scores,
    choices,
    sample_answers,
    score_answers,
)
from baize_train.selfchat.seed_files import distinct
from baize_train.speakers.gguf_speaker import speaker_of
from baize_train.speakers.runnable_model import check_adapters, runnable
from baize_train.speakers.speaker import Speaker, Wish
from baize_train.speakers.specs import KEY_VARIABLE, seeds_in, speaker_named
from baize_train.training.base_model import base_folder
from baize_train.training.run_manifest import DataFile, sha256_of

if TYPE_CHECKING:
    from baize_train.training.sdf import Method
else:
    from typing import Literal

    Method = Literal["best", "dpo"]

_WORK = "work"


def sdf_command(
    adapter: Annotated[Path, typer.Option(help="The folder of the first LoRA, from finetune.")],
    seeds: Annotated[list[str], typer.Option(help="Instructions: a file, or domain:NAME.")],
    output: flags.Output,
    base: flags.Base = "smollm2-135m",
    judge: Annotated[
        str, typer.Option(help="Who scores: local:MODEL or server:URL#model.")
    ] = "local:",
    speaker: Annotated[
        str | None, typer.Option(help="Who answers, if not the adapter here: a server with it.")
    ] = None,
    method: Annotated[
        Method, typer.Option(help="Learn the best answer, or to prefer it to the worst.")
    ] = "best",
    answers: Annotated[int, typer.Option(min=2, help="To each instruction.")] = 4,
    passes: Annotated[int, typer.Option(min=2, help="Of the judge, each in another order.")] = 2,
    least_margin: Annotated[
        float, typer.Option(min=0.0, help="Points of the best before the worst, for dpo.")
    ] = 5.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Instructions at most.")] = None,
    max_tokens: Annotated[int, typer.Option(min=16, help="Of one answer.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0)] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    preset: flags.PresetName = "baize-v1.5",
    format: flags.Format = None,
    system: flags.System = None,
    epochs: flags.Epochs = None,
    steps: flags.StepCount = None,
    learning_rate: flags.Rate = None,
    batch: flags.Batch = None,
    micro_batch: flags.MicroBatch = None,
    max_length: flags.Length = None,
    seed: flags.Seed = 0,
    checkpointing: flags.Checkpointing = False,
    save_every: flags.SaveEvery = None,
    key_file: Annotated[
        Path | None, typer.Option(help=f"File with the server's key; else {KEY_VARIABLE}.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Improve a fine-tuned model by feedback; broken off, the same command goes on."""
    chosen = flags.preset_named(
        preset,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        micro_batch=micro_batch,
        max_length=max_length,
    )
    check_passes(passes)
    flags.need_one_process()
    flags.need_training()
    flags.no_bars_of_libraries()
    folder = base_folder(base)
    check_adapters(folder, [adapter])
    wanted, repeated = distinct((seed for one in seeds for seed in seeds_in(one, None)), 1.0)
    if not wanted:
        raise TrainError("there are no instructions: give a file with --seeds")
    questions = [[Turn("user", one)] for one in wanted[:limit]]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error
    answering = (
        speaker_named(speaker, key_file)
        if speaker is not None
        else speaker_of(adapter.name, runnable(folder, [adapter], output / _WORK), format, system)
    )
    judging = speaker_named(judge, key_file)
    made_by = [str(folder), sha256_of(adapter), format, system]
    wish = Wish(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    sampled, scores = asyncio.run(
        _feedback(answering, judging, questions, answers, wish, output, passes, made_by)
    )
    found = choices(sampled, scores)
    judged = [one for one in scores.values() if one.scores]
    if not json:
        print(
            f"{len(sampled)} instructions, {len(judged)} judged by {judging.name}, "
            f"{repeated} repeated; all scores are in {output / SCORES}"
        )
    if not found:
        why = next((one.problem for one in scores.values() if one.problem), "nothing was answered")
        raise TrainError(f"no answer can be learnt from: {why}")
    from baize_train.cli.finetune import show_run
    from baize_train.training.finetune import Corpus, Run
    from baize_train.training.sdf import SdfRun, train_sdf

    flags.quiet_libraries()
    data = [DataFile(", ".join(seeds), _hash_of(sampled, scores), len(found))]
    run = Run(
        base=folder,
        corpus=Corpus([], data),
        held_out=Corpus([], []),
        output=output,
        preset_name=preset,
        preset=chosen,
        format=format,
        system=system,
        steps=steps,
        seed=seed,
        checkpointing=checkpointing,
        save_every=save_every,
    )
    feedback = {"judge": judging.name, "answers": answers, "passes": passes}
    sdf = SdfRun(run, adapter.absolute(), method, found, least_margin, feedback)
    done = train_sdf(sdf, flags.StepLine())
    if json:
        print(
            msgspec.json.encode(
                {
                    "run": done,
                    "output": str(output),
                    "instructions": len(sampled),
                    "judged": len(judged),
                }
            ).decode()
        )
    else:
        show_run(done, run, [adapter, output])


async def _feedback(
    answering: Speaker,
    judging: Speaker,
    questions: Sequence[list[Turn]],
    count: int,
    wish: Wish,
    output: Path,
    passes: int,
    made_by: list[str | None],
) -> tuple[list[Answers], dict[str, Scores]]:
    try:
        sampled = await sample_answers(
            answering, questions, count, wish, output, flags.CountLine("answered"), made_by
        )
        scores = await score_answers(
            judging,
            sampled,
            output,
            passes=passes,
            seed=wish.seed or 0,
            report=flags.CountLine("judged"),
        )
    finally:
        await answering.close()
        await judging.close()
    return sampled, scores


def _hash_of(sampled: Sequence[Answers], scores: dict[str, Scores]) -> str:
    return hashlib.sha256(
        msgspec.json.encode([sampled, sorted(scores.values(), key=lambda one: one.key)])
    ).hexdigest()
