"""The command line of ``baize-train``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from baize_shared.named_numbers import parse_named_number
from baize_shared.tables import table
from baize_train.cli.evaluate import eval_command
from baize_train.cli.finetune import finetune_command
from baize_train.cli.preview import preview_command
from baize_train.cli.sdf import sdf_command
from baize_train.cli.selfchat import selfchat_command
from baize_train.corpus.dataset_card import Terms, card_of
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.mixing import mixed, split
from baize_train.corpus.personal_data import masked_dialogue
from baize_train.corpus.quality import Limits, problems_of
from baize_train.corpus.reading import FormatName, Unreadable, read_corpus, write_corpus
from baize_train.corpus.statistics import CorpusStatistics, statistics_of
from baize_train.errors import TrainError, harmless, warn

FAILED, INTERRUPTED = 1, 130
_SHOWN = 20

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make your own chat model: collect a self-chat corpus, fine-tune, improve by feedback.",
)
data = typer.Typer(no_args_is_help=True, help="Check corpora, convert, mix and split them.")
app.add_typer(data, name="data")
app.command("selfchat")(selfchat_command)
app.command("finetune")(finetune_command)
app.command("sdf")(sdf_command)
app.command("eval")(eval_command)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Corpora, in any known form.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Seed = Annotated[int, typer.Option(help="The same seed, the same choice.")]


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())


def _read(files: Iterable[Path], unreadable: Counter[str] | None = None) -> Iterator[Dialogue]:
    """The dialogues in ``files``; records that are none are told, and counted by their reasons."""
    told = 0
    for file in files:
        for found in read_corpus(file):
            if isinstance(found, Dialogue):
                yield found
                continue
            told += 1
            if unreadable is not None:
                unreadable[found.why] += 1
            if told <= _SHOWN:
                warn(f"{found.place}: {found.why}; left out")
    if told > _SHOWN:
        warn(f"{told - _SHOWN} more were left out")


@data.command("validate")
def validate_command(
    files: Files,
    least_turns: Annotated[int, typer.Option(min=1)] = 1,
    json: Json = False,
) -> None:
    """Say what is wrong with which dialogue; 1 where something is."""
    problems: Counter[str] = Counter()
    count = told = bad = 0
    for file in files:
        for number, found in enumerate(read_corpus(file), 1):
            count += 1
            if isinstance(found, Unreadable):
                reasons, place = [found.why], found.place
            else:
                reasons = problems_of(found, Limits(least_turns=least_turns))
                place = f"{file.name}:{number}"
            problems.update(reasons)
            bad += bool(reasons)
            if reasons and not json and told < _SHOWN:
                told += 1
                print(harmless(f"{place}: {'; '.join(reasons)}"))
    if json:
        _print_json({"dialogues": count, "bad": bad, "problems": dict(problems)})
    else:
        if bad > told:
            print(f"and {bad - told} more")
        for why, number in problems.most_common():
            print(f"{number:>8}  {harmless(why)}")
        print(f"{count - bad} of {count} dialogues are good")
    if bad:
        raise typer.Exit(FAILED)


@data.command("convert")
def convert_command(
    files: Files,
    output: Output,
    to: Annotated[FormatName, typer.Option(help="The form to write.")] = "messages",
    keep_bad: Annotated[bool, typer.Option("--keep-bad", help="Leave nothing out.")] = False,
    keep_personal: Annotated[
        bool, typer.Option("--keep-personal", help="Mask no addresses and numbers.")
    ] = False,
    dedupe: Annotated[
        float,
        typer.Option(min=0.1, max=1.0, help="Similarity at which two are one; 1: exactly."),
    ] = 0.8,
    json: Json = False,
) -> None:
    """Read any form, leave out what is bad or repeated, mask personal data, write another form."""
    from baize_train.corpus.duplicates import Seen, text_of

    left_out: Counter[str] = Counter()
    personal: Counter[str] = Counter()
    seen = Seen(dedupe)

    def chosen() -> Iterator[Dialogue]:
        for dialogue in _read(files, left_out):
            if not keep_bad and (why := problems_of(dialogue)):
                left_out[why[0]] += 1
                continue
            if not seen.add(text_of(dialogue)):
                left_out["said before"] += 1
                continue
            if not keep_personal:
                dialogue, found = masked_dialogue(dialogue)
                personal.update(found)
            yield dialogue

    count = write_corpus(chosen(), output, to)
    if json:
        _print_json(
            {
                "written": count,
                "left_out": dict(left_out),
                "masked": dict(personal),
                "output": str(output),
            }
        )
        return
    print(f"{output}: {count} dialogues")
    for why, number in left_out.most_common():
        print(f"{number:>8}  left out: {harmless(why)}")
    for kind, number in personal.most_common():
        print(f"{number:>8}  masked: {kind}")


@data.command("mix")
def mix_command(
    corpora: Annotated[
        list[str], typer.Argument(metavar="FILE=RATIO...", help="Corpora and their shares.")
    ],
    output: Output,
    total: Annotated[int | None, typer.Option(min=1, help="Dialogues at most.")] = None,
    seed: Seed = 0,
) -> None:
    """Mix corpora by ratios; no dialogue is taken twice."""
    parts = []
    for one in corpora:
        try:
            name, share = parse_named_number(one)
        except ValueError as error:
            raise TrainError(f"{one}: {error}") from None
        if share <= 0:
            raise TrainError(f"{one}: the ratio must be greater than 0")
        parts.append((list(_read([Path(name)])), share))
    found = mixed(parts, seed, total)
    write_corpus(iter(found), output, "messages")
    print(f"{output}: {len(found)} dialogues")


@data.command("split")
def split_command(
    file: Annotated[Path, typer.Argument(help="A corpus.")],
    train: Annotated[Path, typer.Option(help="The file of those to train on.")],
    evaluation: Annotated[Path, typer.Option("--eval", help="The file of those held out.")],
    part: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share that is held out.")] = 0.05,
    seed: Seed = 0,
) -> None:
    """Hold some dialogues out; each falls on the same side whatever stands beside it."""
    kept, held_out = split(list(_read([file])), part, seed)
    for output, dialogues in ((train, kept), (evaluation, held_out)):
        write_corpus(iter(dialogues), output, "messages")
        print(f"{output}: {len(dialogues)} dialogues")


@data.command("stats")
def stats_command(files: Files, json: Json = False) -> None:
    """Dialogues, turns and lengths, in the form of the paper's Table 2."""
    each = {file.name: statistics_of(_read([file])) for file in files}
    if json:
        _print_json({"corpora": each})
        return
    print("\n".join(_table(each)))


def _table(each: dict[str, CorpusStatistics]) -> list[str]:
    rows = [("Corpus", "Dialogues", "Avg. turns", "Avg. length")]
    rows += [
        (harmless(name), f"{s.dialogues:,}", f"{s.average_turns}", f"{s.average_length}")
        for name, s in each.items()
    ]
    return table(rows)


data.command("preview")(preview_command)


@data.command("card")
def card_command(
    file: Annotated[Path, typer.Argument(help="A corpus.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Else stdout.")] = None,
    license: Annotated[str, typer.Option(help="Its licence, by the hub's name.")] = "unknown",
    teacher: Annotated[
        list[str] | None, typer.Option(help="Who wrote it, with the terms; may be repeated.")
    ] = None,
) -> None:
    """A dataset card, with the licence and the terms of the teacher carried along."""
    rejected: Counter[str] = Counter()
    dialogues = list(_read([file], rejected))
    teachers = dict.fromkeys(
        [*(teacher or ()), *(str(d.meta["teacher"]) for d in dialogues if "teacher" in d.meta)]
    )
    card = card_of(
        file.stem,
        statistics_of(dialogues),
        Terms(license, tuple(teachers)),
        [f"{number} x {why}" for why, number in rejected.most_common()],
    )
    if output is None:
        print(card, end="")
        return
    try:
        output.write_text(card, "utf-8")
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error


def run(arguments: list[str]) -> int:
    """Run a command: 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""
    try:
        app(arguments)
    except SystemExit as end:  # how typer ends every command; wrong usage is 2
        code = int(end.code or 0)
        if code == INTERRUPTED:  # typer's for Ctrl-C
            warn("interrupted; what was done is kept, and the same command goes on")
        return code
    except TrainError as error:
        warn(str(error))
        return FAILED
    return 0


def main() -> None:
    sys.exit(run(sys.argv[1:]))
