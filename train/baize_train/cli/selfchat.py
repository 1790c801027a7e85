"""``baize-train selfchat``: collect dialogues that models hold with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from baize_shared.option_types import FiniteFloat, finite_pair
from baize_shared.printing import ProgressLine
from baize_shared.typed_text import typed_file, typed_text
from baize_train.cli import flags
from baize_train.cli.filter_options import FilterOptions, choose_filters, filter_limits
from baize_train.cli.output.collections import (
    CollectionEstimate,
    collection_progress_text,
    print_collection,
    print_estimate,
)
from baize_train.cli.reading_options import ReadingOptions
from baize_train.cli.speaker_options import ServerFlags, read_parameters, server_access
from baize_train.corpus.dialogues import Dialogue, record_key
from baize_train.corpus.quality import FOR_SELF_CHAT
from baize_train.errors import PROGRAM, TrainError
from baize_train.selfchat.budget import Budget, Prices
from baize_train.selfchat.collection import Collection, CollectionOptions, CollectionProgress
from baize_train.selfchat.estimate import estimate_usage
from baize_train.selfchat.modes import DialogueOptions, Mode, SelfChat
from baize_train.selfchat.seeds import (
    are_domains,
    drop_repeated_seeds,
    read_dialogues_to_rewrite,
    read_personas,
    read_seeds,
)
from baize_train.speakers.speaker import SamplingOptions, Speaker
from baize_train.speakers.specs import BATCH_PREFIX, LOCAL_PREFIX, open_speaker

_NO_PRICE = (0.0, 0.0)
Thoughts = Literal["strip", "keep"]


@dataclass(frozen=True, kw_only=True)
class SelfchatOptions(ServerFlags, FilterOptions, ReadingOptions):
    """Options of ``baize-train selfchat``."""

    output: Annotated[Path, typer.Option("--output", "-o", help="The corpus, as JSON Lines.")]
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            help="A .txt, .csv or .jsonl, or domain:NAME; for rewrite a corpus.", parser=typed_file
        ),
    ] = None
    mode: Annotated[Mode, typer.Option(help="How dialogues are made.")] = "two-speaker"
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            help="Who answers: local:MODEL or server:URL#model; repeat it for more servers.",
            parser=typed_file,
        ),
    ] = None
    asker: Annotated[
        list[str] | None,
        typer.Option(help="Who asks; by default the one who answers.", parser=typed_file),
    ] = None
    personas: Annotated[
        Path | None, typer.Option(help="A file with a person on each line: who may ask.")
    ] = None
    thoughts: Annotated[
        Thoughts, typer.Option(help="What to do with the thoughts of a reasoning model.")
    ] = "strip"
    column: Annotated[
        str | None, typer.Option(help="Column of a table with the seeds.", parser=typed_text)
    ] = None
    turns: Annotated[int, typer.Option(min=1, help="Most answers in a dialogue.")] = 3
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens of a reply.")] = 512
    temperature: flags.Temperature = 0.7
    top_p: flags.TopP = 0.95
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Dialogues to hold at the same time.")
    ] = None
    dialogues: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many dialogues.")
    ] = None
    tokens: Annotated[int | None, typer.Option(min=1, help="Stop after this many tokens.")] = None
    money: Annotated[
        float | None,
        typer.Option(parser=FiniteFloat(min=0.0), help="Stop after spending this much."),
    ] = None
    minutes: Annotated[
        float | None, typer.Option(parser=FiniteFloat(min=0.0), help="Stop after this long.")
    ] = None
    price: Annotated[
        tuple[float, float],
        typer.Option(
            callback=finite_pair, help="Money per million tokens: of prompts, of answers."
        ),
    ] = _NO_PRICE
    keep_personal: flags.KeepPersonal = False
    near: Annotated[
        float,
        typer.Option(
            parser=FiniteFloat(min=0.1, max=1.0), help="Similarity that counts as a repeat."
        ),
    ] = 0.8
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate tokens and money, do not collect.")
    ] = False
    json: flags.Json = False


@dataclass(frozen=True)
class _Seeds:
    texts: list[str]
    repeated: int
    originals: dict[str, Dialogue] = field(default_factory=dict)
    """For ``rewrite``, where the seeds are the ids of dialogues."""


def run_selfchat(options: SelfchatOptions) -> None:
    """Collect dialogues, or with ``dry_run`` estimate what they take; print the result."""
    if not options.seeds:
        raise TrainError("there are no seeds: give a file with --seeds")
    if options.money is not None and options.price == _NO_PRICE:
        raise TrainError("--money needs --price IN OUT, per million tokens")
    if options.personas is not None and options.mode != "two-speaker":
        raise TrainError("--personas: only in the mode two-speaker a person asks")
    filters = choose_filters(options, FOR_SELF_CHAT)
    answerer, asker = _open_speakers(options)
    seeds = _find_seeds(options, options.seeds)
    personas = [] if options.personas is None else read_personas(options.personas)
    settings = _settings(options, answerer, asker, personas)
    if options.dry_run:
        print_estimate(_estimate(options, seeds, settings), json=options.json)
        return
    chat = SelfChat(
        options.mode,
        answerer,
        asker,
        DialogueOptions(
            turns=options.turns,
            limits=filter_limits(options),
            filters=filters,
            sampling=_sampling(options),
            keep_thoughts=options.thoughts == "keep",
        ),
        seeds.originals,
        personas,
    )
    collection_options = CollectionOptions(
        settings=settings,
        budget=_budget(options),
        prices=Prices(*options.price),
        max_concurrent=options.at_once or answerer.max_concurrent,
        similarity=options.near,
        drop_repeats="repeats" in filters,
        mask_personal_data=not options.keep_personal,
        topics={key: dialogue.topic for key, dialogue in seeds.originals.items()},
        expected=estimate_usage(options.mode, options.turns),
    )
    progress = _collect(options.output, chat, collection_options, seeds.texts)
    print_collection(options.output, progress, seeds.repeated, json=options.json)


def _open_speakers(options: SelfchatOptions) -> tuple[Speaker, Speaker]:
    """Who answers and who asks."""
    answering, asking = options.speaker or [LOCAL_PREFIX], options.asker
    access = server_access(options, [*answering, *(asking or ())], options.at_once)
    if asking is not None and any(s.startswith(BATCH_PREFIX) for s in (*answering, *asking)):
        raise TrainError("a batch has one model: leave --asker out, or give servers")
    answerer = open_speaker(answering, access)
    is_local = answering[0].startswith(LOCAL_PREFIX)
    if options.mode == "two-speaker" and (asking is not None or is_local):
        # A model on this machine is opened twice: each side of the dialogue keeps its own KV cache,
        # and both share the weights in memory.
        return answerer, open_speaker(asking or answering, access)
    return answerer, answerer


def _find_seeds(options: SelfchatOptions, sources: list[str]) -> _Seeds:
    if options.mode == "rewrite":
        originals, repeats = read_dialogues_to_rewrite(sources, lambda file: options.read([file]))
        return _Seeds(list(originals), repeats, originals)
    # Two questions of one template differ only in their terms, so similarity would drop them.
    similarity = 1.0 if are_domains(sources) else options.near
    texts, repeated = drop_repeated_seeds(
        (seed for source in sources for seed in read_seeds(source, options.column)), similarity
    )
    return _Seeds(texts, repeated)


def _sampling(options: SelfchatOptions) -> SamplingOptions:
    return SamplingOptions(options.max_tokens, options.temperature, options.top_p)


def _budget(options: SelfchatOptions) -> Budget:
    return Budget(options.dialogues, options.tokens, options.money, options.minutes)


def _settings(
    options: SelfchatOptions, answerer: Speaker, asker: Speaker, personas: Sequence[str]
) -> dict[str, Any]:
    """What identifies the collection in each of its dialogues."""
    more: dict[str, Any] = {
        "personas": record_key(list(personas), "personas") if personas else None,
        "parameters": read_parameters(options.set or []) or None,
        "thoughts": "kept" if options.thoughts == "keep" else None,
    }
    return {
        "mode": options.mode,
        "teacher": answerer.name,
        **({"asker": asker.name} if options.asker is not None else {}),
        "turns": options.turns,
        "sampling": msgspec.to_builtins(_sampling(options)),
        **{name: value for name, value in more.items() if value is not None},
    }


def _estimate(
    options: SelfchatOptions, seeds: _Seeds, settings: dict[str, Any]
) -> CollectionEstimate:
    count = min(len(seeds.texts), options.dialogues or len(seeds.texts))
    usage = estimate_usage(options.mode, options.turns)
    return CollectionEstimate(
        seeds=len(seeds.texts),
        repeated_seeds=seeds.repeated,
        dialogues=count,
        tokens=count * usage.total,
        money=round(count * Prices(*options.price).cost(usage), 4),
        first_key=record_key(seeds.texts[0], settings),
    )


def _collect(
    output: Path, chat: SelfChat, options: CollectionOptions, seeds: Iterable[str]
) -> CollectionProgress:
    async def run() -> CollectionProgress:
        try:
            return await collection.run(seeds)
        finally:
            for speaker in {chat.answerer, chat.asker}:
                await speaker.close()

    with ProgressLine(PROGRAM) as line:
        collection = Collection(
            output,
            chat.hold,
            options,
            lambda progress: line.show(collection_progress_text(progress)),
        )
        return asyncio.run(run())
