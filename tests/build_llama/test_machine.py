"""How many compilers a machine can run at once, and which ones."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from build_llama.machine import (
    BYTES_PER_COMPILER,
    available_memory,
    compiler_variables,
    parallel_compilers,
)


@pytest.mark.parametrize(
    ("cores", "memory", "at_once"), [(8, 64, 8), (8, 3, 3), (2, 0, 1), (1, 64, 1)]
)
def test_cores_and_memory_bound_the_compilers(cores: int, memory: int, at_once: int) -> None:
    assert parallel_compilers(cores, memory * BYTES_PER_COMPILER) == at_once


def test_the_limits_of_a_container_hold(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2147483648\n")
    assert available_memory(tmp_path, tmp_path / "meminfo") == 2 << 30


def test_a_container_without_limits_has_the_whole_machine(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable:    5000000 kB\n")
    assert available_memory(tmp_path, tmp_path / "meminfo") == 5_000_000 * 1024


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity masks are Linux's")
def test_an_affinity_mask_bounds_the_compilers() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert parallel_compilers(memory=64 * BYTES_PER_COMPILER) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_clang_is_used_where_the_compiler_of_python_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"CC": "gcc -pthread"}.get)
    environment = {"PATH": str(tmp_path)}
    assert compiler_variables(environment) == {}
    for name in ("clang", "clang++"):
        (tmp_path / name).touch(mode=0o755)
    assert compiler_variables(environment) == {"CC": "clang", "CXX": "clang++"}
    assert compiler_variables({**environment, "CC": "icx"}) == {}
    (tmp_path / "gcc").touch(mode=0o755)
    assert compiler_variables(environment) == {}
