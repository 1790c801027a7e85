"""``baize-train selfchat``: collect dialogues that models hold with each other."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.quality import Limits
from baize_train.errors import TrainError
from baize_train.selfchat.collection import (
    Budget,
    Collection,
    Prices,
    Progress,
    key_of,
    rejected_file,
)
from baize_train.selfchat.modes import Mode, Shape, Usage, rewrite, transcript, two_speakers
from baize_train.selfchat.seed_files import dialogues_to_rewrite, distinct
from baize_train.speakers.speaker import Speaker, Wish
from baize_train.speakers.specs import KEY_VARIABLE, all_domains, seeds_in, speaker_named

_TOKENS_A_TURN = 150
"""What a question with its answer takes, about, as in the second corpora of the paper."""


def selfchat_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The corpus, JSON lines.")],
    seeds: Annotated[
        list[str] | None,
        typer.Option(help="A .txt, .csv or .jsonl, or domain:NAME; for rewrite a corpus."),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="How dialogues come to be.")] = "two-speaker",
    speaker: Annotated[
        str, typer.Option(help="Who answers: local:MODEL or server:URL#model.")
    ] = "local:",
    asker: Annotated[str | None, typer.Option(help="Who asks; else the same.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of a table with the seeds.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="Answers in a dialogue, at most.")] = 3,
    max_tokens: Annotated[int, typer.Option(min=16, help="Of one reply.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0)] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    at_once: Annotated[int | None, typer.Option(min=1, help="Dialogues at once.")] = None,
    dialogues: Annotated[int | None, typer.Option(min=1, help="End with so many.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    money: Annotated[float | None, typer.Option(min=0.0, help="End after so much.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="End after so long.")] = None,
    price: Annotated[
        tuple[float, float], typer.Option(help="Money for a million tokens, read and written.")
    ] = (0.0, 0.0),
    key_file: Annotated[
        Path | None, typer.Option(help=f"File with the server's key; else {KEY_VARIABLE}.")
    ] = None,
    keep_personal: Annotated[
        bool, typer.Option("--keep-personal", help="Mask no addresses and numbers.")
    ] = False,
    near: Annotated[float, typer.Option(min=0.1, max=1.0, help="Similarity that is one.")] = 0.8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Collect dialogues; killed, the same command goes on with those that are missing."""
    if not seeds:
        raise TrainError("there are no seeds: give a file with --seeds")
    if money is not None and price == (0.0, 0.0):
        raise TrainError("--money needs --price IN OUT, for a million tokens")
    answers = speaker_named(speaker, key_file)
    asks = answers
    if mode == "two-speaker" and (asker is not None or speaker.startswith("local:")):
        # A model on this machine twice: each keeps its own side of the dialogue in its cache, and
        # the weights are mapped once.
        asks = speaker_named(asker or speaker, key_file)
    wish = Wish(max_tokens=max_tokens, temperature=temperature, top_p=top_p)
    shape = Shape(turns=turns, limits=Limits(), wish=wish)
    told: dict[str, Dialogue] = {}
    if mode == "rewrite":
        for one in seeds:
            for dialogue in dialogues_to_rewrite(Path(one)):
                told.setdefault(dialogue.id, dialogue)
        wanted, repeated = list(told), 0
    else:
        found = (seed for one in seeds for seed in seeds_in(one, column))
        # Questions of one template about two terms are alike in most of their letters.
        wanted, repeated = distinct(found, 1.0 if all_domains(seeds) else near)
    settings: dict[str, Any] = {
        "mode": mode,
        "teacher": answers.name,
        **({"asker": asks.name} if asker is not None else {}),
        "turns": turns,
        "sampling": msgspec.to_builtins(wish),
    }
    prices, budget = Prices(*price), Budget(dialogues, tokens, money, minutes)
    if dry_run:
        _estimate(wanted, repeated, settings, turns, prices, budget, json=json)
        return

    async def talk(seed: str, random_seed: int, usage: Usage) -> list[Turn]:
        here = msgspec.structs.replace(shape, wish=msgspec.structs.replace(wish, seed=random_seed))
        if mode == "transcript":
            return await transcript(answers, seed, here, usage)
        if mode == "rewrite":
            return await rewrite(answers, told[seed].messages, here, usage)
        return await two_speakers(asks, answers, seed, here, usage)

    try:
        done = asyncio.run(
            _collect(
                Collection(
                    output,
                    talk,
                    settings,
                    budget=budget,
                    prices=prices,
                    at_once=at_once or answers.at_once,
                    near=near,
                    mask=not keep_personal,
                    topics={key: one.topic for key, one in told.items()},
                    report=_show,
                ),
                wanted,
                {answers, asks},
            )
        )
    finally:
        _end_line()
    if json:
        print(
            msgspec.json.encode(
                {
                    "output": str(output),
                    "kept": done.kept,
                    "rejected": done.rejected,
                    "reasons": dict(done.reasons),
                    "repeated_seeds": repeated,
                    "tokens": done.tokens,
                    "money": round(done.money, 6),
                    "seconds": round(done.seconds, 1),
                }
            ).decode()
        )
        return
    print(f"{output}: {done.kept} dialogues; {done.tokens:,} tokens{_money(done.money)}")
    if done.rejected:
        print(f"{rejected_file(output)}: {done.rejected} were rejected")
    for why, count in done.reasons.most_common():
        print(f"{count:>8}  {why}")


async def _collect(collection: Collection, wanted: list[str], speakers: set[Speaker]) -> Progress:
    try:
        return await collection.run(wanted)
    finally:
        for one in speakers:
            await one.close()


def _estimate(
    wanted: list[str],
    repeated: int,
    settings: dict[str, Any],
    turns: int,
    prices: Prices,
    budget: Budget,
    *,
    json: bool,
) -> None:
    """Tokens and money, about: each turn reads all that came before it."""
    count = min(len(wanted), budget.dialogues or len(wanted))
    each = Usage()
    each.completion = turns * _TOKENS_A_TURN
    if settings["mode"] == "transcript":
        each.prompt = _TOKENS_A_TURN
    else:
        each.prompt = sum(2 * number * _TOKENS_A_TURN for number in range(1, turns + 1))
    found = {
        "seeds": len(wanted),
        "repeated_seeds": repeated,
        "dialogues": count,
        "tokens": count * (each.prompt + each.completion),
        "money": round(count * prices.of(each), 4),
        "first_key": key_of(wanted[0], settings),
    }
    if json:
        print(msgspec.json.encode(found).decode())
        return
    print(f"{len(wanted)} seeds, {repeated} more said the same")
    print(f"{count} dialogues, about {found['tokens']:,} tokens{_money(count * prices.of(each))}")


def _money(money: float) -> str:
    return f", {money:.2f} of money" if money else ""


def _show(progress: Progress) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r\x1b[K{progress.kept} kept, {progress.rejected} rejected · "
            f"{progress.a_minute:.1f} a minute · {progress.tokens:,} tokens"
            f"{_money(progress.money)} · {progress.at_once} at once"
        )
        sys.stderr.flush()


def _end_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
