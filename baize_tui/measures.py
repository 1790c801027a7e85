"""Counts, speeds, times and widths in the person's language; ``baize_shared`` has English ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import reduce

from baize_shared.progress import TimeLeft
from baize_shared.speeds import speed_number
from baize_tui.translation import plural_msg, tr, tr_plural

_COUNTED = (
    plural_msg("{count} citation", "{count} citations"),
    plural_msg("{count} error", "{count} errors"),
    plural_msg("{count} file", "{count} files"),
    plural_msg("{count} hidden message", "{count} hidden messages"),
    plural_msg("{count} image", "{count} images"),
    plural_msg("{count} message", "{count} messages"),
    plural_msg("{count} quote", "{count} quotes"),
    plural_msg("{count} recording", "{count} recordings"),
    plural_msg("{count} thought", "{count} thoughts"),
    plural_msg("{count} tool call", "{count} tool calls"),
    plural_msg("{count} tool result", "{count} tool results"),
    plural_msg("{count} unknown content", "{count} unknown contents"),
)
"""What imports and exports count by its name."""
_SECONDS_UNTIL = 100
"""Seconds from which a duration is in minutes."""


def count_messages(noun: str) -> tuple[str, str]:
    """The messages for one and for several of ``noun``, a word with a regular plural."""
    return f"{{count}} {noun}", f"{{count}} {noun}s"


def count_text(count: int, noun: str) -> str:
    """``1 token``, ``2 tokens``; ``noun`` is the singular of a word with a regular plural."""
    return tr_plural(*count_messages(noun), count)


def counts_text(counts: Mapping[str, int]) -> str:
    """``1 image, 2 tool calls``; the keys are nouns as in ``count_text``."""
    return list_text([count_text(count, noun) for noun, count in counts.items()])


def list_text(parts: Sequence[str]) -> str:
    """``one, two, three``."""
    if not parts:
        return ""
    return reduce(lambda before, part: tr("{before}, {part}", before=before, part=part), parts)


def speed_text(tokens_per_second: float) -> str:
    """``33 tokens/s``, or ``0.4 tokens/s``; empty while it is unknown."""
    speed = speed_number(tokens_per_second)
    return tr("{speed} tokens/s", speed=speed) if speed else ""


def duration_text(seconds: float) -> str:
    """A duration for a person: 12 s, 3 min."""
    if seconds < _SECONDS_UNTIL:
        return tr("{seconds} s", seconds=f"{seconds:.0f}")
    return tr("{minutes} min", minutes=f"{seconds / 60:.0f}")


def padded(text: str, width: int) -> str:
    """``text`` with blanks after it, as many as a column of ``width`` cells needs."""
    return text + " " * (width - cells(text))


def cells(text: str) -> int:
    """The cells that ``text`` takes on a terminal: two for a wide character, such as a Chinese one.

    For texts of the client; the screens have ``rich.cells.cell_len``, which knows every character.
    """
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def left_text(time_left: TimeLeft, done: float) -> str:
    """``12 s left`` for work that is ``done`` (0.0 to 1.0); empty at first."""
    seconds = time_left.seconds_after(done)
    return "" if seconds is None else tr("{duration} left", duration=duration_text(seconds))
