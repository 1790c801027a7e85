"""Proofs repeated over many shapes: ``make test`` runs some of them, ``make test-all`` all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")


def swept(values: Iterable[T], *always: T) -> list[object]:
    """``values`` to parametrize a test by, of which only those in ``always`` run every time.

    A tuple is the values of several parameters.
    """
    all_values = list(values)
    assert set(always) <= set(all_values)
    return [value if value in always else _in_sweeps(value) for value in all_values]


def _in_sweeps(value: object) -> object:
    parameters = value if isinstance(value, tuple) else (value,)
    return pytest.param(*parameters, marks=pytest.mark.sweep)
