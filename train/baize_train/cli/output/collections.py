"""What ``selfchat`` prints."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from baize_shared.printing import print_json, print_line
from baize_train.selfchat.collection import CollectionProgress, rejected_file


class CollectionEstimate(Struct, frozen=True):
    """What a collection will take, roughly."""

    seeds: int
    repeated_seeds: int
    dialogues: int
    tokens: int
    money: float
    first_key: str
    """The key of the first dialogue: it changes with the settings."""


def print_estimate(estimate: CollectionEstimate, *, json: bool) -> None:
    """The result of ``selfchat --dry-run``."""
    if json:
        print_json(estimate)
        return
    print_line(f"{estimate.seeds} seeds, {estimate.repeated_seeds} more were repeats")
    print_line(
        f"{estimate.dialogues} dialogues, about {estimate.tokens:,} tokens{_money(estimate.money)}"
    )


def collection_progress_text(progress: CollectionProgress) -> str:
    """One line while dialogues are collected."""
    return (
        f"{progress.kept} kept, {progress.rejected} rejected · {progress.per_minute:.1f}/min · "
        f"{progress.tokens:,} tokens{_money(progress.money)} · {progress.concurrent} at once"
    )


def print_collection(
    output: Path, progress: CollectionProgress, repeated_seeds: int, *, json: bool
) -> None:
    """The result of a collection."""
    if json:
        print_json(
            {
                "output": str(output),
                "kept": progress.kept,
                "rejected": progress.rejected,
                "reasons": dict(progress.reasons),
                "filters": dict(progress.filters),
                "postponed": progress.postponed,
                "postponed_reason": progress.postponed_reason,
                "repeated_seeds": repeated_seeds,
                "tokens": progress.tokens,
                "total_tokens": progress.total_tokens,
                "money": round(progress.money, 6),
                "total_money": round(progress.total_money, 6),
                "seconds": round(progress.seconds, 1),
            }
        )
        return
    in_all = ""
    if progress.total_tokens > progress.tokens:
        total = f"{progress.total_tokens:,} tokens{_money(progress.total_money)}"
        in_all = f"; with earlier runs {total}"
    print_line(
        f"{output}: {progress.kept} dialogues; {progress.tokens:,} tokens{_money(progress.money)}"
        f"{in_all}"
    )
    if progress.rejected:
        print_line(f"{rejected_file(output)}: {progress.rejected} rejected dialogues")
    for reason, count in progress.reasons.most_common():
        print_line(f"{count:>8}  {reason}")
    if progress.postponed:
        print_line(
            f"{progress.postponed} dialogues are not finished ({progress.postponed_reason}): run "
            "the same command to try them again"
        )


def _money(money: float) -> str:
    return f", costs {money:.2f}" if money else ""
