"""Parts of the sweeps: each sweep is in one of them, and what is no sweep in all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweeps import evenly_spread, parse_part

TESTS = """
import pytest
from tests.sweeps import swept

@pytest.mark.parametrize("number", swept(range(20), 0, 1))
def test_number(number):
    pass

@pytest.mark.sampled(3)
@pytest.mark.parametrize("letter", "abcdefghi")
def test_letter(letter):
    pass
"""


def run(folder: Path, part: str) -> subprocess.CompletedProcess[str]:
    """Run ``TESTS`` in a pytest of its own, with ``--sweeps part``."""
    (folder / "test_numbers.py").write_text(TESTS)
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.sweeps", "-p", "no:cacheprovider", "-v"),
            *("-c", os.devnull, "--rootdir", str(folder), "--sweeps", part),
            str(folder / "test_numbers.py"),
        ],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_sweep_is_in_one_part(tmp_path: Path) -> None:
    parts = [run(tmp_path, f"{number}/3").stdout for number in (1, 2, 3)]
    for number in range(20):
        found = [part for part in parts if f"test_number[{number}] PASSED" in part]
        assert len(found) == (3 if number in (0, 1) else 1), number
    assert all(part.count("PASSED") > 2 for part in parts)


def test_a_sample_always_runs_and_the_others_are_sweeps(tmp_path: Path) -> None:
    parts = [run(tmp_path, f"{number}/3").stdout for number in (1, 2, 3)]
    for letter in "abcdefghi":
        found = [part for part in parts if f"test_letter[{letter}] PASSED" in part]
        assert len(found) == (3 if letter in "aei" else 1), letter


@given(total=st.integers(1, 300), count=st.integers(1, 300))
def test_a_sample_is_spread_from_the_first_to_the_last(total: int, count: int) -> None:
    numbers = evenly_spread(total, count)
    assert len(set(numbers)) == len(numbers) == min(total, count)
    assert set(numbers) <= set(range(total))
    assert numbers[0] == 0
    assert count == 1 or numbers[-1] == total - 1


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/3/3"])
def test_a_part_that_there_is_not_is_refused(part: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"--sweeps {part}: it is such as 2/3"):
        parse_part(part)
