"""Which cores count: hyper-threads, hybrid processors, affinity masks and container quotas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from baize_shared.usable_cpus import container_quota
from baize_tui.engine.threads.cores import Cores, linux_cores, usable_cores


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


class Machine:
    """A /sys and a /proc/self/cgroup of its own."""

    def __init__(self, root: Path) -> None:
        self.sys, self.cgroup = root / "sys", root / "cgroup"

    def of_cpu(self, cpu: int, name: str, text: object) -> None:
        write(self.sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / name, str(text))

    def limit(self, group: str, file: str, text: str) -> None:
        write(self.sys / "fs" / "cgroup" / group / file, text)

    def cores(self, *mask: int) -> Cores:
        return linux_cores(mask, self.sys, self.cgroup)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_two_hyper_threads_are_one_core(machine: Machine) -> None:
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        machine.of_cpu(cpu, "topology/thread_siblings_list", siblings)
    assert machine.cores(0, 1, 2, 3).physical == 2
    assert machine.cores(0, 2).physical == 1


def test_without_topology_every_processor_is_a_core(machine: Machine) -> None:
    assert machine.cores(0, 1, 5) == Cores(frozenset({0, 1, 5}), 3)


def test_of_an_intel_hybrid_only_performance_cores_count(machine: Machine) -> None:
    for cpu, siblings in enumerate(["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"]):
        machine.of_cpu(cpu, "topology/thread_siblings_list", siblings)
    write(machine.sys / "devices/cpu_core/cpus", "0-3")
    write(machine.sys / "devices/cpu_atom/cpus", "4-7")
    assert machine.cores(*range(8)) == Cores(frozenset({0, 1, 2, 3}), 2)
    # A mask that leaves only the others leaves them.
    assert machine.cores(4, 5).physical == 2


@pytest.mark.parametrize(
    ("file", "ratings", "fast"),
    [
        ("cpu_capacity", [400, 400, 870, 1024], {2, 3}),
        ("cpufreq/cpuinfo_max_freq", [3300000, 3300000, 5000000, 5200000], {2, 3}),
        ("cpufreq/cpuinfo_max_freq", [5000000, 5000000, 5200000, 5200000], {0, 1, 2, 3}),
    ],
)
def test_little_cores_do_not_count(
    machine: Machine, file: str, ratings: list[int], fast: set[int]
) -> None:
    for cpu, rating in enumerate(ratings):
        machine.of_cpu(cpu, file, rating)
    assert machine.cores(0, 1, 2, 3).cpus == fast


@pytest.mark.parametrize(
    ("quota", "threads"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.2, 2), (3.5, 4), (64, 8)]
)
def test_a_quota_limits_the_threads(quota: float, threads: int) -> None:
    assert Cores(frozenset(range(8)), 8, quota).most_threads == threads


def test_the_smallest_quota_of_a_group_and_its_parents_counts(machine: Machine) -> None:
    write(machine.cgroup, "0::/user.slice/app.slice/chat.service")
    machine.limit("user.slice", "cpu.max", "400000 100000")
    machine.limit("user.slice/app.slice", "cpu.max", "max 100000")
    machine.limit("user.slice/app.slice/chat.service", "cpu.max", "650000 100000")
    assert container_quota(machine.sys / "fs/cgroup", machine.cgroup) == 4.0
    assert machine.cores(*range(8)).most_threads == 4


def test_inside_a_container_the_root_of_its_groups_counts(machine: Machine) -> None:
    write(machine.cgroup, "0::/")
    machine.limit("", "cpu.max", "250000 100000")
    assert machine.cores(0, 1, 2, 3).quota == 2.5


def test_control_groups_of_version_1(machine: Machine) -> None:
    write(machine.cgroup, "7:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/")
    machine.limit("cpu,cpuacct", "cpu.cfs_quota_us", "150000")  # where the container has its root
    machine.limit("cpu,cpuacct", "cpu.cfs_period_us", "100000")
    assert machine.cores(0, 1, 2, 3).quota == 1.5
    machine.limit("cpu,cpuacct", "cpu.cfs_quota_us", "-1")
    assert machine.cores(0, 1, 2, 3).quota is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_the_affinity_mask_of_this_process_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores().cpus == {min(before)}
        assert usable_cores().most_threads == 1
    finally:
        os.sched_setaffinity(0, before)
