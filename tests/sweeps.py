"""Proofs repeated over many shapes: ``make test`` runs some of them, ``make test-all`` all.

A pytest plugin, too. A test that is marked ``sampled(8)`` runs with eight of its cases, evenly
spread; the others are sweeps. ``--sweeps 2/3`` runs the second third of the sweeps.
"""

from __future__ import annotations

import re
from collections import defaultdict
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "sampled(count): so many of the cases run every time; the others are sweeps"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m does not name
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _mark_samples(items)
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


def _mark_samples(items: Iterable[pytest.Item]) -> None:
    """Mark the cases of ``sampled`` tests that are not in the sample as sweeps."""
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for of_one_test in cases.values():
        marker = of_one_test[0].get_closest_marker("sampled")
        assert marker is not None
        taken = set(evenly_spread(len(of_one_test), marker.args[0]))
        for number, item in enumerate(of_one_test):
            if number not in taken:
                item.add_marker("sweep")


def evenly_spread(total: int, count: int) -> list[int]:
    """``count`` of the numbers below ``total``, the first and the last among them."""
    if count >= total:
        return list(range(total))
    return [number * (total - 1) // max(1, count - 1) for number in range(count)]


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
