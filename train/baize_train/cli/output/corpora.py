"""What the commands of ``data`` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from baize_shared.printing import print_json, print_line
from baize_shared.sanitizer import clean_line
from baize_shared.tables import table
from baize_train.corpus.personal_data import PersonalData
from baize_train.corpus.statistics import CorpusStatistics


def print_validation(
    count: int, bad: int, problems: Counter[str], *, unlisted: int, json: bool
) -> None:
    """How many dialogues have which problems; ``unlisted`` of the bad ones were not printed."""
    if json:
        print_json({"dialogues": count, "bad": bad, "problems": dict(problems)})
        return
    if unlisted > 0:
        print_line(f"and {unlisted} more")
    for problem, number in problems.most_common():
        print_line(f"{number:>8}  {problem}")
    print_line(f"{count - bad} of {count} dialogues are good")


def print_conversion(
    output: Path,
    count: int,
    dropped: Counter[str],
    masked: Counter[PersonalData],
    *,
    json: bool,
) -> None:
    """How many dialogues were written, how many were dropped and why, and what was masked."""
    if json:
        print_json(
            {
                "written": count,
                "left_out": dict(dropped),
                "masked": dict(masked),
                "output": str(output),
            }
        )
        return
    print_written(output, count)
    for reason, number in dropped.most_common():
        print_line(f"{number:>8}  dropped: {reason}")
    for kind, number in masked.most_common():
        print_line(f"{number:>8}  masked: {kind}")


def print_written(output: Path, count: int) -> None:
    """A corpus that was written."""
    print_line(f"{output}: {count} dialogues")


def print_statistics(statistics: Mapping[str, CorpusStatistics], *, json: bool) -> None:
    """A row for each corpus, as in the paper's Table 2."""
    if json:
        print_json({"corpora": statistics})
        return
    rows = [("Corpus", "Dialogues", "Avg. turns", "Avg. length")]
    rows += [
        (clean_line(name), f"{s.dialogues:,}", f"{s.average_turns}", f"{s.average_length}")
        for name, s in statistics.items()
    ]
    print_line("\n".join(table(rows)))
