"""How much is read and written, for slow and fast machines and models with a short context."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baize_tui.bench.lengths import NORMAL, QUICK, choose_lengths
from baize_tui.bench.machine import counts_up_to
from baize_tui.bench.prompts import notes


def test_a_fast_machine_reads_and_writes_more() -> None:
    slow = choose_lengths(NORMAL, reading=20.0, writing=2.0, n_ctx=2048)
    fast = choose_lengths(NORMAL, reading=5000.0, writing=500.0, n_ctx=2048)
    assert (slow.prompt, slow.answer, slow.history) == (64, 16, 128)
    assert (fast.prompt, fast.answer, fast.history) == (512, 128, 1024)
    assert choose_lengths(QUICK, 5000.0, 500.0, 2048) == slow


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.integers(64, 1 << 17))
def test_everything_fits_into_the_context(reading: float, writing: float, n_ctx: int) -> None:
    lengths = choose_lengths(NORMAL, reading, writing, n_ctx)
    assert min(lengths.prompt, lengths.answer, lengths.history) > 0
    assert lengths.prompt + lengths.answer <= n_ctx // 2
    assert lengths.history + lengths.answer < n_ctx


def test_the_numbers_of_threads() -> None:
    assert counts_up_to(fast_cores=1, processors=1) == [1]
    assert counts_up_to(fast_cores=2, processors=2) == [1, 2]
    assert counts_up_to(fast_cores=1, processors=2) == [1, 2]
    assert counts_up_to(fast_cores=6, processors=12) == [1, 2, 4, 6, 8, 12]
    assert counts_up_to(fast_cores=8, processors=16) == [1, 2, 4, 8, 16]
    assert counts_up_to(fast_cores=4, processors=3) == [1, 2, 3, 4]  # a quota of 3 processors


def test_no_two_prompts_begin_alike() -> None:
    """What the cache holds of one must not be reused for the next."""
    beginnings = {notes(number, 3)[0] for number in range(90)}
    assert len(beginnings) == 90
