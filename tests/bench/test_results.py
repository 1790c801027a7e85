"""The ratios, from figures that were measured."""

from __future__ import annotations

import pytest

from baize_tui.bench.results import FirstTokens, LoadCase, PromptLookup, Speed, Speeds, ThreadCount


def speeds(*writing: float, threads: int = 1) -> Speeds:
    return [Speed(10 * speed, speed, threads) for speed in writing]


ONE = ThreadCount(1, bare_loop=speeds(50, 50, 60), engine=speeds(50, 40, 60))
TWO = ThreadCount(2, bare_loop=speeds(100, 80, 40), screen=speeds(90, 80, 20))
CHOSEN = ThreadCount(0, worker=speeds(90, 80, 30, threads=2))
CASE = LoadCase([ONE, TWO, CHOSEN])


def test_a_fixed_number_of_threads_is_compared_with_as_many() -> None:
    assert CASE.ratio(ONE, "engine", "writing") == 1.0  # of 1.0, 0.8 and 1.0
    assert CASE.ratio(TWO, "screen", "reading") == pytest.approx(0.9)  # of 0.9, 1.0 and 0.5


def test_the_chosen_number_is_compared_with_the_best_of_the_same_round() -> None:
    assert CASE.ratio(CHOSEN, "worker", "writing") == pytest.approx(0.9)  # of 0.9, 1.0 and 0.5


def test_what_was_not_measured_has_no_ratio() -> None:
    assert CASE.ratio(ONE, "screen", "writing") is None
    assert LoadCase([CHOSEN]).ratio(CHOSEN, "worker", "writing") is None
    assert FirstTokens().speedup([]) is None
    assert PromptLookup().gain is None
    assert PromptLookup().hit_rate is None


def test_a_round_that_took_too_long_does_not_count() -> None:
    slow = ThreadCount(4, bare_loop=[None, *speeds(50, 50)], engine=[None, *speeds(40), None])
    assert slow.bare_loop[0] is None
    case = LoadCase([ONE, slow, ThreadCount(0, worker=speeds(50, 50, 50))])
    assert case.ratio(slow, "engine", "writing") == pytest.approx(0.8)
    assert case.ratio(case.counts[-1], "worker", "writing") == 1.0  # of 1.0, 1.0 and 0.83
    nothing = LoadCase([ThreadCount(4, bare_loop=[None], engine=[None])])
    assert nothing.ratio(nothing.counts[0], "engine", "writing") is None


def test_the_first_token_is_compared_with_a_cold_one_of_the_same_round() -> None:
    first = FirstTokens(cold=[2.0, 4.0, 6.0], restored=[0.1, 0.1, 0.1])
    assert first.speedup(first.restored) == pytest.approx(40.0)
    assert first.saved_bytes_of(1000) is None
    saved = FirstTokens(snapshot_bytes=3_000_000, snapshot_tokens=500)
    assert saved.saved_bytes_of(1000) == 6_000_000


def test_guesses_that_were_right() -> None:
    lookup = PromptLookup(off=[10.0, 10.0], on=[15.0, 25.0], guessed=80, accepted=60)
    assert lookup.gain == 2.0
    assert lookup.hit_rate == 0.75
