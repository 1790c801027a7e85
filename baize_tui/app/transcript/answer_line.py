"""How an answer was made, in one line below it; where there is little room, the least important
parts are left out."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size

from baize_shared.counts import count_text
from baize_shared.progress import duration_text
from baize_shared.speeds import speed_text
from baize_tui.app.transcript.look import join_parts
from baize_tui.store.records import AnswerSummary

_SHORTEST_NAME = 8
"""Cells of a model's name below which it is left out."""


def answer_line(made: AnswerSummary, room: int) -> str:
    """The line in the length that fits into ``room`` cells; empty if none does."""
    fitting = (text for text in _lengths(made) if cell_len(text) <= room)
    if (text := next(fitting, None)) is not None:
        return text
    return set_cell_size(made.model, room - 1) + "…" if room >= _SHORTEST_NAME else ""


def _lengths(made: AnswerSummary) -> Iterator[str]:
    """The line in several lengths, the longest first."""
    adapters = [name for name, scale in made.adapters.items() if scale]
    names = " + ".join([made.model, *adapters])
    few_names = f"{made.model} + {count_text(len(adapters), 'adapter')}" if adapters else names
    seconds = made.seconds
    time = f"{seconds:.1f} s" if seconds < 9.95 else duration_text(seconds)
    tokens = count_text(made.completion_tokens, "token")
    speed = speed_text(made.tokens_per_second)
    reused = f"{made.reused_tokens} of {made.prompt_tokens}"
    yield join_parts([names, time, tokens, speed, f"{reused} prompt tokens reused"])
    yield join_parts([names, time, tokens, speed, f"{reused} reused"])
    yield join_parts([names, time, tokens, speed])
    yield join_parts([names, tokens, speed])
    yield join_parts([few_names, tokens, speed])
    yield join_parts([few_names, speed])
    yield few_names
    yield made.model
