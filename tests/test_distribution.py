"""What is published: the wheel has all that the programs need, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.made_once import made_once
from tests.test_project_files import PROJECT, ROOT

MOST_BYTES = 1_500_000
MOST_SOURCE_BYTES = 5_000_000
SHIPPED = {
    "baize_tui": "baize_tui",
    "baize_shared": "baize_shared",
    "convert/baize_convert": "baize_convert",
    "train/baize_train": "baize_train",
    "models": "baize_tui/models",
}
"""Folders of the project, and where they are in the wheel."""
SOURCES_ONLY = {".po"}
"""Translations are compiled to .mo files."""


def build(target: str, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (file,) = made_once(tmp_path_factory, "wheel", lambda into: build("wheel", into)).glob("*.whl")
    return file


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


def project_files(folder: str) -> set[str]:
    """The files in ``folder`` of the project, relative to it, without what Python keeps."""
    files = (file for file in (ROOT / folder).rglob("*") if file.is_file())
    return {
        str(file.relative_to(ROOT / folder))
        for file in files
        if "__pycache__" not in file.parts and file.suffix not in {".pyc", *SOURCES_ONLY}
    }


@pytest.mark.parametrize("folder", SHIPPED)
def test_the_wheel_has_every_file_of_the_programs(folder: str, contents: list[str]) -> None:
    needed = {f"{SHIPPED[folder]}/{name}" for name in project_files(folder)}
    assert needed - set(contents) == set()


def test_the_wheel_has_what_is_easily_forgotten(contents: list[str]) -> None:
    """Files that no import misses: translations, styles, pages, recipes and texts."""
    for name in (
        "baize_tui/app/baize.tcss",
        "baize_tui/locale/zh_CN/LC_MESSAGES/baize-tui.mo",
        "baize_tui/models/formats/baize.toml",
        "baize_tui/models/personas/baize.toml",
        "baize_tui/models/prompts/translate.md",
        "baize_tui/models/seeds/quora.toml",
        "baize_tui/models/smollm2-135m.toml",
        "baize_tui/py.typed",
        "baize_tui/serving/page/app_index.html",
    ):
        assert name in contents


def test_the_wheel_has_nothing_else(contents: list[str], wheel: Path) -> None:
    metadata = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    packages = {PurePosixPath(package).name for package in SHIPPED} - {"models"}
    assert {name.partition("/")[0] for name in contents} == {*packages, metadata}
    shipped = {f"{SHIPPED[folder]}/{name}" for folder in SHIPPED for name in project_files(folder)}
    others = set(contents) - shipped
    assert {name for name in others if not name.startswith(f"{metadata}/")} == set()
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_has_the_programs_and_the_licence(contents: list[str], wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (entries,) = (name for name in contents if name.endswith("/entry_points.txt"))
        programs = configparser.ConfigParser()
        programs.read_string(opened.read(entries).decode())
    assert dict(programs["console_scripts"]) == PROJECT["project"]["scripts"]
    assert [name for name in contents if name.endswith("/licenses/LICENSE")]


def test_the_source_distribution_builds_and_tests_itself(
    tmp_path: Path, contents: list[str]
) -> None:
    """It has no pictures of the pages, and the wheel made from it is that of the checkout."""
    build("sdist", tmp_path)
    (packed,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(packed) as opened:
        names = opened.getnames()
        opened.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    pages = {PurePosixPath(name).suffix for name in names if "/docs/" in name}
    assert pages <= {".md", ".py", ".sh", ""}
    assert packed.stat().st_size < MOST_SOURCE_BYTES
    for needed in (
        "Makefile",
        ".ci/run",
        "docs/demo.sh",
        "tests/conftest.py",
        "build_llama/quick.cmake",
    ):
        assert (folder / needed).is_file()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as again:
        assert sorted(again.namelist()) == sorted(contents)
