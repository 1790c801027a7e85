"""A fiftieth of each scenario of ``benchmarks/torture.py``."""

from __future__ import annotations

import pytest

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
