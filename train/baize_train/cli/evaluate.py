"""``baize-train eval``: base, adapter and merged GGUF in one table."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from baize_shared.tables import table
from baize_train.cli import flags
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.evaluation.comparison import (
    Perplexity,
    Verdicts,
    answer_tokens,
    answers_of,
    compare,
    first_questions,
    name_of,
    perplexity,
)
from baize_train.feedback.judge import check_passes
from baize_train.speakers.gguf_speaker import GgufSpeaker, speaker_of
from baize_train.speakers.runnable_model import RunnableModel, check_adapters, runnable
from baize_train.speakers.speaker import Speaker, Wish
from baize_train.speakers.specs import KEY_VARIABLE, speaker_named
from baize_train.training.base_model import base_folder


def eval_command(
    data: Annotated[list[Path], typer.Option("--data", help="Held-out dialogues.")],
    base: flags.Base = "smollm2-135m",
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="A LoRA over the base; a second one is laid over the first."),
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="A GGUF, as of baize-convert merge.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Who compares answers: local:MODEL or server:URL#model.")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="To compare answers to.")] = 20,
    passes: Annotated[int, typer.Option(min=2)] = 2,
    max_tokens: Annotated[int, typer.Option(min=16, help="Of one answer.")] = 256,
    max_length: Annotated[int, typer.Option(min=16, help="Tokens of a dialogue.")] = 2048,
    format: flags.Format = None,
    system: flags.System = None,
    seed: flags.Seed = 0,
    key_file: Annotated[
        Path | None, typer.Option(help=f"File with the server's key; else {KEY_VARIABLE}.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Perplexity on held-out dialogues, and who wins a judge's comparison with the base."""
    check_passes(passes)
    folder, adapters = base_folder(base), adapter or []
    check_adapters(folder, adapters)
    dialogues = [one for file in data for one in flags.dialogues_of(file)]
    if not dialogues:
        raise TrainError("there are no dialogues to measure with")
    with tempfile.TemporaryDirectory() as work:
        rows: dict[str, RunnableModel] = {f"base: {base}": runnable(folder, [], Path(work))}
        for number, one in enumerate(adapters, 1):
            laid_over = adapters[:number]
            name = " + ".join(name_of(part) for part in laid_over)
            rows[f"adapter: {name}" if one else name] = runnable(folder, laid_over, Path(work))
        for file in model or []:
            if not file.is_file():
                raise TrainError(f"{file}: no such file")
            rows[f"GGUF: {name_of(file)}"] = RunnableModel(file)
        measured = {}
        for name, runs in rows.items():
            tokens = answer_tokens(dialogues, runs, format, system, max_length)
            measured[name] = perplexity(runs, tokens, max_length, flags.CountLine(f"read · {name}"))
        verdicts: dict[str, Verdicts] = {}
        if judge is not None:
            asked = first_questions(dialogues, questions)
            wish = Wish(max_tokens=max_tokens, temperature=0.0, seed=seed)
            speakers = {name: speaker_of(name, runs, format, system) for name, runs in rows.items()}
            judging = speaker_named(judge, key_file)
            verdicts = asyncio.run(_compare(judging, speakers, asked, wish, passes))
    if json:
        print(msgspec.json.encode({"models": _rows(measured, verdicts)}).decode())
    else:
        print("\n".join(_table(measured, verdicts)))


async def _compare(
    judging: Speaker,
    speakers: dict[str, GgufSpeaker],
    questions: Sequence[Sequence[Turn]],
    wish: Wish,
    passes: int,
) -> dict[str, Verdicts]:
    """Each of the others against the first."""
    try:
        said = {}
        for name, speaker in speakers.items():
            said[name] = await answers_of(speaker, questions, wish)
            await speaker.close()
        first, *others = said
        return {
            name: await compare(
                judging,
                questions,
                said[first],
                said[name],
                passes=passes,
                seed=wish.seed or 0,
                report=flags.CountLine(f"judged · {name}"),
            )
            for name in others
        }
    finally:
        for speaker in speakers.values():
            await speaker.close()
        await judging.close()


def _rows(measured: dict[str, Perplexity], verdicts: dict[str, Verdicts]) -> list[dict[str, Any]]:
    return [
        {
            "model": name,
            "tokens": one.tokens,
            "cut": one.cut,
            "loss": round(one.loss, 4),
            "perplexity": round(one.perplexity, 3),
            "against_base": verdicts.get(name),
        }
        for name, one in measured.items()
    ]


def _table(measured: dict[str, Perplexity], verdicts: dict[str, Verdicts]) -> list[str]:
    rows = [("Model", "Loss", "Perplexity", *(("Won", "Tied", "Lost") if verdicts else ()))]
    for name, one in measured.items():
        row: tuple[str, ...] = (name, f"{one.loss:.3f}", f"{one.perplexity:.2f}")
        if verdicts:
            found = verdicts.get(name)
            counts = () if found is None else (found.won, found.tied, found.lost)
            row += tuple(str(one) for one in counts) or ("", "", "")
        rows.append(row)
    lines = table(rows)
    tokens = next(iter(measured.values())).tokens
    lines.append(f"over {tokens:,} tokens of answers")
    if verdicts:
        unjudged = sum(one.unjudged for one in verdicts.values())
        against = f"against {next(iter(measured))}"
        lines.append(f"{against}, both orders{f'; {unjudged} not judged' if unjudged else ''}")
    return lines
