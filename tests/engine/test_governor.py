"""The governor on simulated machines: it finds the best count, holds it, and is never stuck."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from baize_tui.engine.threads.governor import Governor, Observation
from tests.engine.simulated_machine import Machine, Run

SETTLED_S = 2.0


def governor_of(machine: Machine) -> Governor:
    most = machine.cores
    if machine.quota is not None:
        most = max(1, min(most, math.ceil(machine.quota - 0.25)))
    cpus = 2 * machine.cores if machine.hyperthreads else machine.cores
    return Governor(machine.cores, most, cpus)


def mostly(run: Run) -> int:
    return max(set(run.counts), key=run.counts.count)


def test_it_starts_with_all_cores_and_stays_there_on_a_free_machine() -> None:
    machine = Machine(cores=8, noise=0.03)
    governor = governor_of(machine)
    assert governor.threads == 8
    run = machine.run(governor, 30)
    assert run.counts.count(8) > 0.95 * run.tokens


def test_a_busy_neighbour_costs_one_thread_within_a_few_tokens() -> None:
    machine = Machine(cores=2, token_s=0.02, penalty=8.0)
    governor = governor_of(machine)
    machine.run(governor, 5)
    machine.neighbours = 1
    run = machine.run(governor, 5)
    assert run.counts[:10].count(1) >= 5
    assert set(run.counts[10:]) == {1}


def test_it_steps_up_again_soon_after_the_neighbour_is_gone() -> None:
    machine = Machine(cores=2, token_s=0.02, penalty=8.0)
    governor = governor_of(machine)
    for _ in range(5):
        machine.neighbours = 1
        machine.run(governor, 5)
        machine.neighbours = 0
        run = machine.run(governor, 5)
        late = [count for at, count in zip(run.times, run.counts, strict=True) if at > SETTLED_S]
        assert late.count(2) > 0.95 * len(late)


def test_many_neighbours_cost_many_threads() -> None:
    machine = Machine(cores=16, penalty=4.0, noise=0.03)
    governor = governor_of(machine)
    machine.run(governor, 10)
    machine.neighbours = 8
    machine.run(governor, SETTLED_S)
    assert mostly(machine.run(governor, 20)) == 8


def test_there_are_no_trials_at_too_many_threads_while_the_load_stays() -> None:
    machine = Machine(cores=4, penalty=10.0, noise=0.03)
    governor = governor_of(machine)
    machine.run(governor, 10)
    machine.neighbours = 1
    machine.run(governor, SETTLED_S)
    run = machine.run(governor, 60)
    assert run.seconds_each < 1.05 * machine.seconds_with(3)


def test_where_memory_is_the_limit_it_finds_the_count_that_is_enough() -> None:
    machine = Machine(cores=16, bandwidth=6, overhead=0.01)
    governor = governor_of(machine)
    machine.run(governor, 60)
    run = machine.run(governor, 60)
    assert run.seconds_each < 1.1 * machine.best_seconds(16)


def test_a_growing_context_makes_all_counts_slower_and_changes_nothing() -> None:
    machine = Machine(cores=4, token_s=0.02, noise=0.03)
    governor = governor_of(machine)
    run = Run()
    for _ in range(100):
        machine.token_s *= 1.02
        run = machine.run(governor, 1)
    assert mostly(run) == 4
    machine.neighbours = 1
    machine.run(governor, SETTLED_S)
    assert mostly(machine.run(governor, 10)) == 3


def test_slower_tokens_alone_are_not_attributed_to_neighbours() -> None:
    machine = Machine(cores=4, token_s=0.02)
    governor = governor_of(machine)
    machine.run(governor, 10)
    governor.begin(0.1, 0.0)
    machine.token_s = 0.05
    run = machine.run(governor, 10)
    assert run.counts.count(4) > 0.9 * run.tokens


def test_a_request_beside_a_known_load_begins_with_fewer_threads() -> None:
    governor = Governor(cores=4, most=4)
    governor.begin(3.0, others=1.0)
    assert governor.threads == 3
    governor.begin(3.0, others=0.1)
    assert governor.threads == 4


def test_a_load_that_ended_before_the_request_costs_one_batch() -> None:
    governor = Governor(cores=4, most=4)
    governor.begin(3.0, others=1.0)
    governor.record(Observation(0.5, 1.5, 0.0))
    assert governor.threads == 4


def test_work_on_a_gpu_begins_with_one_thread_and_keeps_to_few() -> None:
    governor = Governor(cores=16, most=16, threads=1)
    assert governor.threads == 1
    for _ in range(400):
        governor.record(Observation(0.01, None, 0.0))  # as fast with any count
    assert governor.threads <= 3


def test_one_core_has_one_thread() -> None:
    machine = Machine(cores=1, neighbours=2)
    assert set(machine.run(governor_of(machine), 5).counts) == {1}


def test_the_same_observations_give_the_same_counts() -> None:
    def run() -> list[int]:
        machine = Machine(cores=8, noise=0.1, random=random.Random(7))
        governor = governor_of(machine)
        counts = machine.run(governor, 5).counts
        machine.neighbours = 3
        return counts + machine.run(governor, 5).counts

    assert run() == run()


def fitting_model(cores: int, token_s: float, **kind: Any) -> Machine:
    """A machine with a model that takes ``token_s`` where all its cores are free."""
    return Machine(cores=cores, token_s=token_s * min(cores, kind["bandwidth"]), **kind)


def machines_of(cores: st.SearchStrategy[int]) -> st.SearchStrategy[Machine]:
    return st.builds(
        fitting_model,
        cores=cores,
        hyperthreads=st.booleans(),
        token_s=st.sampled_from([0.02, 0.1, 0.5]),
        serial=st.sampled_from([0.0, 0.02, 0.1]),
        bandwidth=st.sampled_from([4.0, 8.0, 64.0]),
        overhead=st.sampled_from([0.0, 0.0005, 0.003]),
        penalty=st.floats(1.5, 8.0),
        noise=st.sampled_from([0.0, 0.03, 0.08]),
        tells_cpu=st.booleans(),
        random=st.builds(random.Random, st.integers(0, 1000)),
    )


machines = machines_of(st.integers(1, 64))
eight_cores = machines_of(st.just(8))


@settings(max_examples=25)
@given(machine=machines, data=st.data())
def test_under_any_constant_load_it_ends_near_the_best_count(
    machine: Machine, data: st.DataObject
) -> None:
    governor = governor_of(machine)
    machine.run(governor, 20 * machine.seconds_with(governor.most))
    for _ in range(3):
        machine.neighbours = data.draw(st.integers(0, 3 * machine.cores // 4), label="neighbours")
        machine.run(governor, max(10, 300 * machine.best_seconds(governor.most)))
        switches = governor.switches
        run = machine.run(governor, max(20, 400 * machine.best_seconds(governor.most)))
        assert machine.best_seconds(governor.most) / run.seconds_each > 0.85
        # Trials are bounded by what they may cost, the rest by waiting longer each time.
        assert governor.switches - switches < 60 + 0.05 * run.tokens


@settings(max_examples=15)
@given(machine=machines, load=st.integers(1, 3))
def test_on_an_overloaded_machine_it_is_no_slower_than_one_thread(
    machine: Machine, load: int
) -> None:
    governor = governor_of(machine)
    machine.run(governor, 20 * machine.seconds_with(governor.most))
    machine.neighbours = load * machine.cores
    machine.run(governor, 20 * machine.seconds_with(1))
    run = machine.run(governor, 100 * machine.seconds_with(1))
    assert run.seconds_each < 1.2 * machine.seconds_with(1)


@settings(max_examples=15)
@given(quota=st.floats(0.3, 8.0), machine=eight_cores)
def test_a_throttled_container_is_no_reason_to_be_stuck(quota: float, machine: Machine) -> None:
    machine.quota = quota
    governor = governor_of(machine)
    machine.run(governor, max(10, 300 * machine.best_seconds(governor.most)))
    run = machine.run(governor, max(20, 400 * machine.best_seconds(governor.most)))
    assert machine.best_seconds(governor.most) / run.seconds_each > 0.85


@settings(max_examples=15)
@given(machine=eight_cores, neighbours=st.integers(1, 7))
def test_where_the_system_tells_nothing_of_others_trying_shows_it(
    machine: Machine, neighbours: int
) -> None:
    machine.tells_others, machine.tells_cpu = False, True
    governor = governor_of(machine)
    machine.run(governor, 10)
    for load in (neighbours, 0):
        machine.neighbours = load
        machine.run(governor, max(60, 300 * machine.best_seconds(8)))
        run = machine.run(governor, max(30, 200 * machine.best_seconds(8)))
        assert machine.best_seconds(8) / run.seconds_each > 0.7
