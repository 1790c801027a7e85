"""What the commands of ``data`` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from baize_shared.printing import print_json, print_line
from baize_shared.sanitizer import clean_line
from baize_shared.tables import table
from baize_train.corpus.personal_data import PersonalData
from baize_train.corpus.reading import describe_unread
from baize_train.corpus.statistics import CorpusStatistics


@dataclass
class Conversion:
    """What a conversion wrote, dropped and masked."""

    output: Path
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """By their problems, in words for the user."""
    filters: Counter[str] = field(default_factory=Counter)
    """By the filters that dropped them."""
    masked: Counter[PersonalData] = field(default_factory=Counter)
    unscored: int = 0
    """Dialogues for which the judge gave no score; they are kept."""

    def drop(self, filter: str, reason: str) -> None:
        """Count a dialogue that is dropped."""
        self.dropped[reason] += 1
        self.filters[filter] += 1


def print_validation(
    count: int,
    bad: int,
    problems: Counter[str],
    unread: Counter[str],
    *,
    unlisted: int,
    json: bool,
) -> None:
    """How many dialogues have which problems; ``unlisted`` of the bad ones were not printed.
    ``unread`` are the keys with text that are not read."""
    if json:
        counts = {"problems": dict(problems), "unread": dict(unread)}
        print_json({"dialogues": count, "bad": bad, **counts})
        return
    if unlisted > 0:
        print_line(f"and {unlisted} more")
    for problem, number in problems.most_common():
        print_line(f"{number:>8}  {problem}")
    if unread:
        print_line(describe_unread(unread))
    print_line(f"{count - bad} of {count} dialogues are good")


def print_conversion(result: Conversion, *, json: bool) -> None:
    """How many dialogues were written, how many were dropped and why, and what was masked."""
    if json:
        print_json(
            {
                "written": result.written,
                "left_out": dict(result.dropped),
                "filters": dict(result.filters),
                "masked": dict(result.masked),
                "unscored": result.unscored,
                "output": str(result.output),
            }
        )
        return
    print_written(result.output, result.written)
    for reason, number in result.dropped.most_common():
        print_line(f"{number:>8}  dropped: {reason}")
    if result.filters:
        names = ", ".join(f"{name} {count}" for name, count in result.filters.most_common())
        print_line(f"filters: {names}; --no-filter NAME turns one off")
    for kind, number in result.masked.most_common():
        print_line(f"{number:>8}  masked: {kind}")
    if result.unscored:
        print_line(f"{result.unscored:>8}  kept without a score")


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
