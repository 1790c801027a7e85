"""A collection that is killed forty times loses nothing and counts every token once."""

from __future__ import annotations

import pytest

from benchmarks.collection import kill_often


@pytest.mark.sweep
def test_nothing_is_lost_or_repeated_by_forty_kills() -> None:
    assert kill_often(40, 40) == ""
