"""Counts and the time left, in words."""

from __future__ import annotations

import pytest

from baize_shared.counts import count_text
from baize_shared.progress import TimeLeft


def test_a_count_agrees_with_its_noun() -> None:
    assert [count_text(n, "token") for n in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]


def test_time_left_is_shown_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("baize_shared.progress.monotonic", lambda: now)
    left = TimeLeft()
    assert left.after(0.0) == ""
    now += 0.1
    assert left.after(0.05) == ""
    now += 1.9
    assert left.after(0.25) == "6 s left"
    now += 200.0
    assert left.after(0.30) == "8 min left"
