"""A dataset card: what a corpus contains, where it comes from, and under which terms."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_train.corpus.statistics import CorpusStatistics


class Terms(Struct, frozen=True):
    """The terms that apply to a corpus."""

    license: str = "unknown"
    """A license identifier of the Hugging Face Hub."""
    teachers: tuple[str, ...] = ()
    """Models that wrote the corpus, with what their terms say about training other models."""


def _size_category(count: int) -> str:
    """The Hub's category for ``count`` rows."""
    limits = (
        (10**3, "n<1K"),
        (10**4, "1K<n<10K"),
        (10**5, "10K<n<100K"),
        (10**6, "100K<n<1M"),
        (10**7, "1M<n<10M"),
    )
    return next((category for limit, category in limits if count < limit), "10M<n<100M")


def _cell(source: str) -> str:
    """A source in one cell of a table, whatever characters the data has in it."""
    return clean_line(source).replace("|", "\\|") or "unknown"


def dataset_card(
    name: str, statistics: CorpusStatistics, terms: Terms, skipped: Mapping[str, int]
) -> str:
    """The card as Markdown with the Hub's metadata in front.

    ``skipped`` counts invalid records by their problems.
    """
    teachers = [f"- {teacher}" for teacher in terms.teachers] or ["- not known"]
    sources = [f"| {_cell(source)} | {n} |" for source, n in statistics.sources.items()]
    problems = [f"- {n} x {problem}" for problem, n in skipped.items()] or ["- nothing"]
    lengths = f"{statistics.average_turns} | {statistics.average_length}"
    return "\n".join(
        [
            "---",
            f"license: {terms.license}",
            "task_categories:",
            "- text-generation",
            "tags:",
            "- conversational",
            "- self-chat",
            "size_categories:",
            f"- {_size_category(statistics.dialogues)}",
            "---",
            "",
            f"# {name}",
            "",
            "| Dialogues | Avg. turns | Avg. length (words) |",
            "|---|---|---|",
            f"| {statistics.dialogues:,} | {lengths} |",
            "",
            "## Sources",
            "",
            "| Source | Dialogues |",
            "|---|---|",
            *sources,
            "",
            "## Who wrote it",
            "",
            *teachers,
            "",
            "## Left out",
            "",
            *problems,
            "",
        ]
    )
