"""The page of licences: what the project needs is on it, under licences that bind nobody else."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from types import ModuleType

import pytest

from tests.test_project_files import ROOT

BINDING = re.compile(r"\b[AL]?GPL|NonCommercial|CC-BY-NC|Proprietary|SSPL|BUSL", re.I)
"""Licences that would bind who uses or changes the project."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(script: ModuleType) -> dict[str, str]:
    """The licences of packages on the page."""
    table = script.PAGE.read_text("utf-8").partition("## Packages")[2]
    found = re.findall(r"^\| ([\w.-]+) \| (?:programs|`\[\w+\]`) \| (.+) \|$", table, re.M)
    return dict(found)


def test_the_page_is_what_the_script_writes(script: ModuleType) -> None:
    """Of the packages only the beginning, because other packages come with other systems."""
    text = script.PAGE.read_text("utf-8")
    assert text.startswith(script.INTRODUCTION + "".join(script.weight_rows()))


@pytest.mark.parametrize(
    "part", ["programs", "demo", "files", "server", "serve", "web", "corpus", "train"]
)
def test_every_dependency_is_on_the_page(
    part: str, script: ModuleType, rows: dict[str, str]
) -> None:
    names = {
        script.normalized(re.split(r"[\[<>=~; ]", text)[0]) for text in script.requirements(part)
    }
    assert names - set(rows) - {"baize-tui"} == set()


def test_no_licence_binds_who_uses_the_project(script: ModuleType, rows: dict[str, str]) -> None:
    assert {name: text for name, text in rows.items() if BINDING.search(text)} == {}
    installed = script.installed_with("programs") | script.installed_with("demo")
    texts = {name: script.licence_of(package) for name, package in installed.items()}
    assert {name: text for name, text in texts.items() if BINDING.search(text)} == {}


def test_a_licence_that_is_unknown_is_an_error(script: ModuleType) -> None:
    class Unlicensed(metadata.PathDistribution):
        def read_text(self, filename: object) -> str | None:
            return "Metadata-Version: 2.1\nName: tea\nVersion: 1\nLicense: ask me\n"

    with pytest.raises(ValueError, match="tea"):
        script.licence_of(Unlicensed(ROOT))
