"""Proofs repeated over many shapes: ``make test`` runs some of them, ``make test-all`` all.

A pytest plugin, too: ``--sweeps 2/3`` runs the second third of those that ``make test`` leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar
from zlib import crc32

import pytest

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweeps", type=parse_part, metavar="K/N", help="Run the K-th of N parts of the sweeps."
    )


def parse_part(text: str) -> tuple[int, int]:
    """Such as (2, 3) of ``2/3``.

    Raises:
        pytest.UsageError: there is no such part.
    """
    numbers = re.fullmatch(r"(\d+)/(\d+)", text)
    if numbers is None or not 1 <= int(numbers[1]) <= int(numbers[2]):
        raise pytest.UsageError(f"--sweeps {text}: it is such as 2/3")
    return int(numbers[1]), int(numbers[2])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part = config.getoption("sweeps")
    if part is None:
        return
    number, parts = part
    left_out = [
        item
        for item in items
        if item.get_closest_marker("sweep") and crc32(item.nodeid.encode()) % parts != number - 1
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        skipped = set(left_out)
        items[:] = [item for item in items if item not in skipped]


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
