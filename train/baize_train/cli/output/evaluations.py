"""What ``eval`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baize_shared.printing import print_json, print_line
from baize_shared.sanitizer import clean_line
from baize_shared.tables import table
from baize_train.evaluation.comparison import Comparison
from baize_train.evaluation.perplexity import Perplexity


def print_evaluation(
    data: Sequence[Path],
    perplexities: Mapping[str, Perplexity],
    comparisons: Mapping[str, Comparison],
    *,
    json: bool,
) -> None:
    """One row for each model, the base first. ``comparisons`` is empty without a judge."""
    if json:
        print_json(
            {
                "data": [str(file) for file in data],
                "models": [
                    _json_row(name, perplexity, comparisons.get(name))
                    for name, perplexity in perplexities.items()
                ],
            }
        )
        return
    print_line("\n".join(_text_table(perplexities, comparisons)))
    tokens = next(iter(perplexities.values())).tokens
    files = ", ".join(clean_line(str(file)) for file in data)
    print_line(f"over {tokens:,} tokens of answers in {files}")
    if comparisons:
        unjudged = sum(comparison.unjudged for comparison in comparisons.values())
        missing = f"; {unjudged} not judged" if unjudged else ""
        print_line(f"compared with {next(iter(perplexities))}, in both orders{missing}")


def _json_row(name: str, perplexity: Perplexity, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "model": name,
        "tokens": perplexity.tokens,
        "cut": perplexity.cut,
        "loss": round(perplexity.loss, 4),
        "perplexity": round(perplexity.perplexity, 3),
        "against_base": comparison,
    }


def _text_table(
    perplexities: Mapping[str, Perplexity], comparisons: Mapping[str, Comparison]
) -> list[str]:
    rows = [("Model", "Loss", "Perplexity", *(("Won", "Tied", "Lost") if comparisons else ()))]
    for name, perplexity in perplexities.items():
        row = (name, f"{perplexity.loss:.3f}", f"{perplexity.perplexity:.2f}")
        rows.append((*row, *(_counts(comparisons.get(name)) if comparisons else ())))
    return table(rows)


def _counts(comparison: Comparison | None) -> tuple[str, str, str]:
    if comparison is None:
        return ("", "", "")
    return (str(comparison.won), str(comparison.tied), str(comparison.lost))
