"""What a test of collecting gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CALLS = 5
"""Of a dialogue with three answers."""


@dataclass
class Collected:
    """A finished command, and what is in its files then."""

    code: int
    report: dict[str, Any]
    errors: str
    kept: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


Collect = Callable[..., Collected]
