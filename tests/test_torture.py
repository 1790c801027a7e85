"""A fiftieth of each scenario of ``benchmarks/torture.py``."""

from __future__ import annotations

import pytest

from benchmarks.killing.stored_words import oldest_loss
from benchmarks.scenarios.figures import Options
from benchmarks.torture import SCENARIOS, about, scenario_named

SHARE = 0.02


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_scenario_promises_holds(name: str) -> None:
    figures = list(scenario_named(name)(Options(share=SHARE)))
    assert figures
    for figure in figures:
        assert figure.tried > 0, figure.promise
        assert figure.broken == (), figure.promise


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_what_it_does(name: str) -> None:
    assert about(name)


def test_what_was_shown_and_not_stored_is_a_loss() -> None:
    shown = {"Once": 1.0, "Onceupon": 2.0, "Onceuponatime": 2.5}
    assert oldest_loss(shown, "OnceuponatimeThe", 3.0) == (0.0, 0, "")
    assert oldest_loss(shown, "Onceup", 3.0) == (1.0, 7, "Onceuponatime")
