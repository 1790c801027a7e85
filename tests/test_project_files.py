"""The files around the code are true: dependencies, README, pages, commands and the version."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import baize_tui

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = ROOT / "README.md"
PAGES = sorted(
    [
        README,
        *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
MOST_README_LINES = 150
MOST_RECORDING_BYTES = 300_000
OUTSIDE = {
    "baize_prompt.json",
    "added_tokens.json",
    *("config.toml", "sea.toml", "mine.toml", "machine-profile.json", "run.json", "old.json"),
    "default-model.json",
    *("server-keys.toml", "cluster.toml"),
    *("config.json", "generation_config.json", "tokenizer.json", "model.safetensors.index.json"),
    *("convert_hf_to_gguf.py", "file_download.py"),
    *("conversations.json", "all.json", "quora_chat_data.json"),
}
"""Files that pages name: of a person, of a model, of other projects."""

OWN = {"baize_tui", "baize_shared", "baize_convert", "baize_train", "build_llama"}
OWN |= {"tests", "benchmarks", "docs"}
DISTRIBUTIONS = {
    "docx": "python-docx",
    "llama_cpp": "llama-cpp-python",
    "markdown_it": "markdown-it-py",
    "yaml": "pyyaml",
}
"""Distributions whose name is not that of the package that is imported."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- dependencies -------------------------------------------------------------------------------


def imported_packages(folder: str) -> dict[str, str]:
    """The packages that the Python files in ``folder`` import, each with one of the files."""
    packages: dict[str, str] = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                packages.setdefault(module.partition(".")[0], str(file.relative_to(ROOT)))
    return packages


def third_party(folder: str) -> dict[str, str]:
    """The distributions that ``folder`` needs, each with a file that imports it."""
    return {
        DISTRIBUTIONS.get(package, package.replace("_", "-")): file
        for package, file in imported_packages(folder).items()
        if package not in OWN and package not in sys.stdlib_module_names
    }


def declared(*extras: str) -> set[str]:
    """Names of the dependencies, with those of ``extras`` and of the extras that they include."""
    requirements = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        requirements += PROJECT["project"]["optional-dependencies"][extra]
    names: set[str] = set()
    for requirement in requirements:
        name, included = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement).groups()  # type: ignore[union-attr]
        if name == PROJECT["project"]["name"]:
            names |= declared(*included.split(","))
        names.add(name.lower().replace("_", "-"))
    return names


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("baize_tui", ("files", "serve", "server", "web")),
        ("baize_shared", ()),
        ("convert/baize_convert", ()),
        ("train/baize_train", ("train", "tracked-train")),
        ("tests", ("demo", "test", "train")),
        ("benchmarks", ("demo", "test", "train")),
        ("docs", ("site", "test")),
    ],
)
def test_every_import_is_a_declared_dependency(folder: str, extras: tuple[str, ...]) -> None:
    known = declared(*extras)
    missing = {name: file for name, file in third_party(folder).items() if name not in known}
    assert missing == {}


def test_the_build_of_llama_cpp_needs_only_the_standard_library() -> None:
    """It runs before anything is installed, the modules of baize_shared that it uses included."""
    program = "import sys, build_llama.__main__; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packages = {module.partition(".")[0] for module in loaded.split()}
    assert packages - sys.stdlib_module_names <= {"build_llama", "baize_shared", "__main__"}


def test_every_bound_has_a_comment_that_says_why() -> None:
    """On the line above it, or above the whole list."""
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    project = lines[lines.index("[project]") : lines.index("[project.scripts]")]
    unexplained = []
    for number, line in enumerate(project):
        if line.startswith("#") or not re.search(r'"[\w.-]+.*(==|<)', line):
            continue
        start = max(n for n in range(number + 1) if not project[n].startswith((" ", "]")))
        if not any(project[n - 1].lstrip().startswith("#") for n in (number, start)):
            unexplained.append(line.strip())
    assert unexplained == []


def test_the_version_is_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "baize_tui/__init__.py"
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[0] == baize_tui.__version__


# --- pages --------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= MOST_README_LINES


def prose(page: Path) -> str:
    """The text of ``page`` without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of the headings of ``page``, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    plain = (re.sub(r"[`*]|\]\(.*?\)|\[", "", title).lower() for title in titles)
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", prose(page), re.M):
        target = "".join(link)
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_recording_is_shown_and_small() -> None:
    assert "(docs/recording.svg)" in README.read_text("utf-8")
    recording = ROOT / "docs" / "recording.svg"
    assert recording.stat().st_size < MOST_RECORDING_BYTES
    assert ElementTree.parse(recording).getroot().tag.endswith("svg")


def test_the_index_has_every_page() -> None:
    for index in (ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"):
        text = index.read_text("utf-8")
        pages = [page.name for page in index.parent.glob("*.md") if page != index]
        assert [name for name in pages if f"({name})" not in text] == []


def test_the_site_has_every_page() -> None:
    """Sphinx, which no test needs, refuses a page that is in no table of contents."""
    tables = (ROOT / "docs" / "site" / "conf.py").read_text("utf-8").splitlines()
    pages = [page.stem for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]
    assert [page for page in pages if page not in tables] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    files = [f"/{file}" for file in project_files()]
    named = re.findall(r"`([\w/.]+\.(?:py|toml|cmake|yml|sh|json|txt))`", prose(page))
    missing = [
        name
        for name in named
        if name not in OUTSIDE
        and "NAME" not in name
        and not any(file.endswith(f"/{name}") for file in files)
    ]
    assert missing == []


@cache
def project_files() -> list[str]:
    """Every file of the project but pictures and what tools keep, relative to the root."""
    folders = ["baize_tui", "baize_shared", "convert", "train", "build_llama", "benchmarks"]
    folders += ["tests", "docs", "models", ".github", ".ci"]
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.*")]
    files += [file for file in ROOT.iterdir() if file.is_file()]
    return [str(file.relative_to(ROOT)) for file in files if file.suffix != ".svg"]


# --- commands -----------------------------------------------------------------------------------


def test_the_features_of_peers_have_tests() -> None:
    rows = re.findall(r"^\| (?!Feature|---).*$", (ROOT / "docs/peers.md").read_text("utf-8"), re.M)
    assert rows
    for row in rows:
        files = re.findall(r"`(tests/[^`]+)`", row)
        assert files, row
        assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_readme_names_the_commands_of_a_contributor() -> None:
    text = README.read_text("utf-8")
    for command in ("make chat", "make demo", "make test", "make test-train", "make test-all"):
        assert command in text
    assert "make check" in text


def test_the_hooks_run_before_a_commit_what_make_check_runs() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    checks = re.search(r"^check: (.+)$", makefile, re.M)
    assert checks is not None
    hooks = re.findall(r"entry: make (\w+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert hooks == checks[1].split()
