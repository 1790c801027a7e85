"""What ``sdf`` prints before it trains."""

from __future__ import annotations

from pathlib import Path

from baize_shared.printing import print_line
from baize_train.feedback.scoring import SCORES_FILE


def print_feedback(instructions: int, judged: int, repeated: int, judge: str, output: Path) -> None:
    """How much feedback there is and where it is kept."""
    print_line(
        f"{instructions} instructions, {judged} judged by {judge}, {repeated} repeated; "
        f"all scores are in {output / SCORES_FILE}"
    )
