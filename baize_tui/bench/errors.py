"""How a benchmark fails."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError


class BenchError(OneLineError):
    """Something cannot be measured; the message is one line."""
