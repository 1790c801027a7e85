"""How many processors the system lets this process use: affinity mask and container quota."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath


def usable_cpus() -> int:
    """Logical processors that tasks which do not wait for each other can fill.

    Hyper-threads and efficiency cores count. A part of a processor in the quota counts as one: two
    threads use all of a quota of 1.5.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = container_quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def container_quota(mount: Path, cgroup: Path) -> float | None:
    """Cores' worth of time that the groups in the file ``cgroup`` and their parents may use.

    Control groups of version 2 (``cpu.max``) and 1 (``cpu.cfs_quota_us``), mounted below ``mount``.
    None without a limit.
    """
    quotas: list[float] = []
    for line in _read(cgroup).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            roots, quota_of = [mount, mount / "unified"], _quota_of_version_2
        elif "cpu" in controllers.split(","):
            roots, quota_of = [mount / controllers, mount / "cpu"], _quota_of_version_1
        else:
            continue
        # The path may be the host's, so the limits of the container's own root count as well.
        inside = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for root in roots:
            for length in range(len(inside) + 1):
                quota = quota_of(root.joinpath(*inside[:length]))
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _quota_of_version_2(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _quota_of_version_1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """``quota / period`` where both are positive: "max" and -1 mean no limit."""
    try:
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None
    except ValueError:
        return None


def _read(file: Path) -> str:
    """The text of ``file``, empty where there is none."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
