"""Affinity masks and container quotas bound how many threads a merge gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from baize_shared.usable_cpus import container_quota


def group(mount: Path, path: str, file: str, text: str) -> None:
    folder = mount / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)


def quota(tmp_path: Path, lines: str) -> float | None:
    cgroup = tmp_path / "cgroup"
    cgroup.write_text(lines)
    return container_quota(tmp_path / "mount", cgroup)


def test_the_tightest_quota_of_a_group_and_its_parents_counts(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    group(mount, "user/chat", "cpu.max", "max 100000\n")
    group(mount, "user", "cpu.max", "150000 100000\n")
    group(mount, "", "cpu.max", "400000 100000\n")
    assert quota(tmp_path, "0::/user/chat\n") == 1.5


def test_inside_a_container_the_path_may_be_that_of_the_host(tmp_path: Path) -> None:
    group(tmp_path / "mount", "", "cpu.max", "50000 100000\n")
    assert quota(tmp_path, "0::/../docker/4f1c\n") == 0.5


def test_groups_of_version_1(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    group(mount, "cpu,cpuacct/docker/4f1c", "cpu.cfs_quota_us", "300000\n")
    group(mount, "cpu,cpuacct/docker/4f1c", "cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path, "7:memory:/x\n4:cpu,cpuacct:/docker/4f1c\n") == 3.0


@pytest.mark.parametrize("text", ["max 100000", "-1 100000", "0 100000", "", "what ever"])
def test_no_quota(tmp_path: Path, text: str) -> None:
    group(tmp_path / "mount", "", "cpu.max", text)
    assert quota(tmp_path, "0::/\n") is None


def test_where_there_are_no_groups(tmp_path: Path) -> None:
    assert container_quota(tmp_path / "mount", tmp_path / "cgroup") is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has affinity masks")
def test_a_merge_gets_no_more_threads_than_its_affinity_mask_allows() -> None:
    cpu = min(os.sched_getaffinity(0))
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os; os.sched_setaffinity(0, [{cpu}])\n"
            "from baize_convert.budget import choose_budget\n"
            "from baize_convert.quantization.outtypes import parse_outtype\n"
            "from baize_convert.plan import plan_conversion\n"
            "from tests.convert.make_goldens import BASE\n"
            "plan = plan_conversion(BASE, [], parse_outtype('F32'))\n"
            "print(choose_budget(plan.layout).workers)\n",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert completed.stdout == "1\n"
