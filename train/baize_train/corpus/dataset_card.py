"""A dataset card: what a corpus is, where it comes from, and under which terms."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from baize_train.corpus.statistics import CorpusStatistics


class Terms(Struct, frozen=True):
    """Under which terms a corpus stands, its teacher's carried along."""

    license: str = "unknown"
    teachers: tuple[str, ...] = ()
    """Models that wrote it, with what their terms say of training others."""


def _size(count: int) -> str:
    """The hub's word for so many rows."""
    for limit, word in ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K")):
        if count < limit:
            return word
    return "100K<n<1M"


def card_of(name: str, found: CorpusStatistics, terms: Terms, rejected: Sequence[str]) -> str:
    """The card as Markdown, with the hub's metadata in front."""
    teachers = [f"- {teacher}" for teacher in terms.teachers] or ["- not known"]
    sources = [f"| {source or 'unknown'} | {count} |" for source, count in found.sources.items()]
    left_out = [f"- {line}" for line in rejected] or ["- nothing"]
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
            f"- {_size(found.dialogues)}",
            "---",
            "",
            f"# {name}",
            "",
            "| Dialogues | Avg. turns | Avg. length (words) |",
            "|---|---|---|",
            f"| {found.dialogues:,} | {found.average_turns} | {found.average_length} |",
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
            *left_out,
            "",
        ]
    )
