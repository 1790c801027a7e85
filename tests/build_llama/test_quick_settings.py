"""quick.cmake, in a project that does what the CMakeLists.txt of llama-cpp-python does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from build_llama.attempts import QUICK_SETTINGS

CMAKE = shutil.which("cmake")
PROGRAMS = {"Ninja": "ninja", "Unix Makefiles": "make"}
GENERATORS = [name for name, program in PROGRAMS.items() if shutil.which(program)]

pytestmark = pytest.mark.skipif(CMAKE is None, reason="needs CMake")

PROJECT = """\
cmake_minimum_required(VERSION 3.21)
project(llama_cpp)
option(LLAVA_BUILD "Build llava" ON)
set(LLAMA_BUILD_COMMON ON CACHE BOOL "Build llama.cpp common library" FORCE)
add_subdirectory(vendor)
"""
VENDOR = """\
cmake_minimum_required(VERSION 3.14...3.28)
project("llama.cpp" C CXX)
option(LLAMA_BUILD_COMMON "llama: build common utils library" ON)
message(STATUS "common=${LLAMA_BUILD_COMMON} llava=${LLAVA_BUILD} cuda=${GGML_CUDA}")
add_library(kernels SHARED kernels.c more_kernels.cpp)
"""
KERNELS = """\
#ifdef __AMX_INT8__
#error "AMX kernels would be compiled"
#endif
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    (vendor / "CMakeLists.txt").write_text(VENDOR)
    (vendor / "kernels.c").write_text(KERNELS)
    (vendor / "more_kernels.cpp").write_text(KERNELS)
    return tmp_path


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert CMAKE is not None
    # A processor with AMX, on whatever the tests run.
    flags = {"CFLAGS": "-D__AMX_INT8__=1", "CXXFLAGS": "-D__AMX_INT8__=1"}
    command = [CMAKE, *map(str, arguments)]
    environment = os.environ | flags
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_quick_build_has_no_amx_kernels_and_no_unused_libraries(
    project: Path, generator: str
) -> None:
    # scikit-build-core preloads a file of its own with -C, too.
    own_cache = project / "CMakeInit.txt"
    own_cache.write_text('set(SKBUILD "2" CACHE STRING "")\n')
    folders = ("-S", project, "-B", project / "out", "-G", generator)
    configured = cmake(*folders, f"-C{own_cache}", f"-C{QUICK_SETTINGS}", "-DGGML_CUDA=on")
    assert configured.returncode == 0, configured.stderr
    assert "common=OFF llava=OFF cuda=on" in configured.stdout
    built = cmake("--build", project / "out")
    assert built.returncode == 0, built.stdout


def test_what_a_person_sets_wins(project: Path) -> None:
    folders = ("-S", project, "-B", project / "out")
    configured = cmake(*folders, f"-C{QUICK_SETTINGS}", "-DLLAVA_BUILD=ON")
    assert "llava=ON" in configured.stdout


def test_without_the_settings_this_project_would_have_the_kernels(project: Path) -> None:
    configured = cmake("-S", project, "-B", project / "out")
    assert "common=ON llava=ON" in configured.stdout
    built = cmake("--build", project / "out")
    assert built.returncode != 0
    assert "AMX kernels would be compiled" in built.stdout + built.stderr
