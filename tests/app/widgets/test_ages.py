"""Ages beside the conversations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.app.widgets.ages import age_text

DAY = 86_400.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (0, "now"),
        (59.9, "now"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (DAY - 1, "23h"),
        (DAY, "1d"),
        (7 * DAY - 1, "6d"),
        (7 * DAY, "1w"),
        (365 * DAY, "52w"),
        (366 * DAY, "1y"),
    ],
)
def test_an_age_is_in_its_largest_unit(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@given(st.floats(0, 99 * 365 * DAY))
def test_an_age_has_at_most_three_cells(seconds: float) -> None:
    assert len(age_text(seconds)) <= 3
