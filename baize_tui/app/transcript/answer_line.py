"""How an answer was made, in one line below it; where there is little room, the least important
parts are left out."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size

from baize_tui.app.transcript.look import join_parts
from baize_tui.measures import count_text, duration_text, speed_text
from baize_tui.store.records import AnswerSummary
from baize_tui.translation import tr

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
    time = tr("{seconds} s", seconds=f"{seconds:.1f}") if seconds < 9.95 else duration_text(seconds)
    tokens = count_text(made.completion_tokens, "token")
    speed = speed_text(made.tokens_per_second)
    prompt = {"reused": made.reused_tokens, "total": made.prompt_tokens}
    yield join_parts(
        [names, time, tokens, speed, tr("{reused} of {total} prompt tokens reused", **prompt)]
    )
    yield join_parts([names, time, tokens, speed, tr("{reused} of {total} reused", **prompt)])
    yield join_parts([names, time, tokens, speed])
    yield join_parts([names, tokens, speed])
    yield join_parts([few_names, tokens, speed])
    yield join_parts([few_names, speed])
    yield few_names
    yield made.model
