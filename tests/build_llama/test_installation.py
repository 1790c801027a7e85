"""The builds that are tried in turn, and what is shown to a person, with a stand-in for pip."""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from build_llama.attempts import QUICK_SETTINGS, Attempt, build_attempts
from build_llama.installation import Installation, pinned_version
from tests.build_llama.stand_ins import StandIns

OUTPUT = Path(__file__).parent / "output"
VERSION = "1.2.3"
COMPILED = f"Successfully installed llama-cpp-python-{VERSION}"


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path)


def attempts(environment: Mapping[str, str] | None = None) -> list[Attempt]:
    own = {"PATH": os.environ["PATH"], "CFLAGS": "-O2", **(environment or {})}
    return build_attempts(own, compilers=3, processor="x86_64 avx2 amx_int8")


def install(stand_ins: StandIns, tmp_path: Path) -> tuple[bool, list[str]]:
    """Whether it was installed, and the lines that a person sees."""
    out = io.StringIO()
    installation = Installation(VERSION, tmp_path / "build.log", out, stand_ins.programs)
    return installation.install(attempts()), out.getvalue().splitlines()


def output(name: str) -> str:
    return (OUTPUT / name).read_text()


def test_the_quick_build_comes_first_and_suffices(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.next_build(0, output("ninja.txt"))
    done, shown = install(stand_ins, tmp_path)
    assert done
    took = r"\d+ (s|min)"
    assert re.fullmatch(rf"Installed llama-cpp-python {re.escape(VERSION)} in {took}\.", shown[-1])
    (call,) = stand_ins.installs()
    assert call.arguments[-1] == f"llama-cpp-python=={VERSION}"
    assert call.environment["CMAKE_ARGS"] == f"-C{QUICK_SETTINGS}"
    assert call.environment["CMAKE_BUILD_PARALLEL_LEVEL"] == "3"
    assert output("ninja.txt") in (tmp_path / "build.log").read_text()


def test_what_is_installed_is_not_installed_again(stand_ins: StandIns, tmp_path: Path) -> None:
    installation = Installation(VERSION, tmp_path / "log", io.StringIO(), stand_ins.programs)
    assert not installation.is_installed()
    stand_ins.set_installed("1.2.2")
    assert not installation.is_installed()
    stand_ins.set_installed(VERSION)
    assert installation.is_installed()
    assert stand_ins.installs() == []


def test_when_the_quick_build_fails_the_plain_one_follows_still_without_amx(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    stand_ins.next_build(1, output("bad-settings.txt"))
    stand_ins.next_build(0, COMPILED)
    done, shown = install(stand_ins, tmp_path)
    assert done
    (messages,) = [line for line in shown if "failed" in line]
    assert messages == "The quick build failed: broken on purpose"
    assert "Trying the plain build without AMX." in shown
    _, plain = stand_ins.installs()
    assert "CMAKE_ARGS" not in plain.environment
    assert plain.environment["CFLAGS"] == "-O2 -U__AMX_INT8__"
    assert plain.environment["CXXFLAGS"] == "-U__AMX_INT8__"


def test_the_last_build_has_only_what_the_person_set(stand_ins: StandIns, tmp_path: Path) -> None:
    for _ in range(2):
        stand_ins.next_build(1, output("bad-settings.txt"))
    stand_ins.next_build(0, COMPILED)
    done, shown = install(stand_ins, tmp_path)
    assert done
    assert "Trying the plain build." in shown
    *_, plain = stand_ins.installs()
    assert plain.environment["CFLAGS"] == "-O2"
    assert "CXXFLAGS" not in plain.environment
    assert "--cache-dir" not in plain.arguments


def test_after_a_build_that_cannot_be_imported_the_next_one_follows(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    stand_ins.next_build(0, COMPILED, importable=False)
    stand_ins.next_build(0, COMPILED)
    done, shown = install(stand_ins, tmp_path)
    assert done
    assert any("libggml-cpu.so: cannot open shared object file" in line for line in shown)
    assert len(stand_ins.installs()) == 2


def test_a_broken_installation_of_the_same_version_is_replaced(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    stand_ins.set_installed("")
    stand_ins.next_build(0, COMPILED)
    done, shown = install(stand_ins, tmp_path)
    assert done
    assert not any("failed" in line for line in shown)


def test_when_all_builds_fail_the_error_lines_are_shown(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    for _ in range(3):
        stand_ins.next_build(1, output("compile-error.txt"))
    done, shown = install(stand_ins, tmp_path)
    assert not done
    messages = shown[shown.index("llama.cpp could not be installed:") :]
    assert any("error: expected" in line for line in messages)
    assert not any("subprocess-exited-with-error" in line for line in messages)
    assert len(messages) <= 10
    assert messages[-1].endswith("build.log")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-compiler.txt", "There is no C and C++ compiler. Install one and repeat: 'apt install"),
        ("no-ninja.txt", "CMake or ninja is missing, and pip found no package of it. Install both"),
        ("no-network.txt", "pip could not download all packages. Check the network"),
    ],
)
def test_what_is_missing_is_named_in_one_line_and_nothing_else_is_tried(
    stand_ins: StandIns, tmp_path: Path, name: str, says: str
) -> None:
    stand_ins.next_build(1, output(name))
    done, shown = install(stand_ins, tmp_path)
    assert not done
    messages = shown[shown.index("llama.cpp could not be installed:") + 1 :]
    assert messages[0].startswith(f"  {says}")
    assert len(messages) == 2
    assert len(stand_ins.installs()) == 1


def test_where_memory_ran_out_one_compiler_runs_at_a_time(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    killed = "  g++: fatal error: Killed signal terminated program cc1plus\n"
    stand_ins.next_build(1, killed)
    stand_ins.next_build(0, COMPILED)
    done, shown = install(stand_ins, tmp_path)
    assert done
    assert "The quick build failed: The compiler ran out of memory." in shown
    levels = [call.environment["CMAKE_BUILD_PARALLEL_LEVEL"] for call in stand_ins.installs()]
    assert levels == ["3", "1"]


def test_a_persons_own_settings_are_kept() -> None:
    own = {"CMAKE_ARGS": "-DGGML_CUDA=on", "CMAKE_BUILD_PARALLEL_LEVEL": "7"}
    quick, without_amx, plain = attempts(own)
    assert shlex.split(quick.environment["CMAKE_ARGS"]) == [f"-C{QUICK_SETTINGS}", "-DGGML_CUDA=on"]
    for attempt in (without_amx, plain):
        assert attempt.environment["CMAKE_ARGS"] == "-DGGML_CUDA=on"
    for attempt in (quick, without_amx, plain):
        assert attempt.environment["CMAKE_BUILD_PARALLEL_LEVEL"] == "7"


def test_each_kind_of_build_has_a_cache_of_its_own() -> None:
    kinds = [
        *attempts(),
        *attempts({"CMAKE_ARGS": "-DGGML_CUDA=on"})[:2],
        *build_attempts({"CFLAGS": "-O2"}, compilers=3, processor="x86_64 avx2")[:2],
    ]
    keys = [attempt.cache_key for attempt in kinds]
    assert len(set(keys)) == len(keys)
    again = build_attempts({"CFLAGS": "-O2", "HOME": "/x"}, 2, "x86_64 avx2 amx_int8")
    assert [attempt.cache_key for attempt in again] == keys[:3]


def test_the_cache_is_inside_pips_cache(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.next_build(0, COMPILED)
    install(stand_ins, tmp_path)
    (call,) = stand_ins.installs()
    folder = call.arguments[call.arguments.index("--cache-dir") + 1]
    assert Path(folder).parent == tmp_path / "pip-cache" / "baize-tui"


def test_without_pips_cache_there_is_no_cache(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.without_cache()
    stand_ins.next_build(0, COMPILED)
    install(stand_ins, tmp_path)
    (call,) = stand_ins.installs()
    assert "--cache-dir" not in call.arguments


def test_the_version_is_the_one_that_the_project_pins(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\ndependencies = ["numpy>=1", "llama-cpp-python==1.2.3"]\n')
    assert pinned_version(pyproject) == "1.2.3"
    assert re.fullmatch(r"[\d.]+", pinned_version())
