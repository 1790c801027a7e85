"""Every command of every page is one that the programs take, as it is written."""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.shell_lines import commands, inline_commands, shell_lines
from tests.program_commands import program
from tests.test_project_files import PAGES, PROJECT, ROOT, name_of

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""typer does not export it."""
ELISIONS = {"...", "…"}


def problem_with(words: list[str], *, whole: bool = True) -> str | None:
    """Why a command could not be run as it is written; None if it could.

    ``whole``: it has to have all its arguments, as in a block; a sentence names parts of commands.
    """
    name, *arguments = words
    if name == "make":
        return _problem_with_make(arguments)
    if name in ("python", ".venv/bin/python"):
        return _problem_with_python(arguments)
    if name not in PROJECT["project"]["scripts"]:
        return None
    given = [word for word in arguments if word not in ELISIONS]
    try:
        _parse(program(name), name, given, whole=whole and given == arguments)
    except _UsageError as error:
        return f"{name}: {error.format_message()}"  # type: ignore[attr-defined]
    return None


def _parse(
    command: Any, name: str, arguments: list[str], *, whole: bool, parent: Any = None
) -> None:
    """Parse ``arguments`` as the program does, its inner commands too.

    Raises:
        typer's UsageError: they are wrong.
    """
    context = command.context_class(command, info_name=name, parent=parent)
    left = command.make_parser(context).parse_args(args=list(arguments))[1]
    if not hasattr(command, "commands"):
        if whole:  # checks values and what is required
            command.make_context(name, list(arguments), parent=parent)
        return
    if left:
        inner_name, inner, rest = command.resolve_command(context, left)
        _parse(inner, inner_name, rest, whole=whole, parent=context)


@cache
def _makefile() -> str:
    return (ROOT / "Makefile").read_text("utf-8")


def _problem_with_make(arguments: list[str]) -> str | None:
    targets = set(re.findall(r"^([\w-]+):", _makefile(), re.M))
    variables = set(re.findall(r"^([A-Z_]+) [?:]?=", _makefile(), re.M)) | {"SWEEPS"}
    for word in arguments:
        name, assigned, _ = word.partition("=")
        if name not in (variables if assigned else targets):
            return f"make has no {'variable' if assigned else 'target'} {name}"
    return None


def _problem_with_python(arguments: list[str]) -> str | None:
    files = [word for word in arguments if word.startswith(("benchmarks/", "docs/", "tests/"))]
    missing = [file for file in files if not (ROOT / file).exists()]
    if arguments[:1] == ["-m"] and importlib.util.find_spec(arguments[1]) is None:
        missing.append(arguments[1])
    return f"there is no {missing[0]}" if missing else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_is_right(page: Path) -> None:
    problems = [
        f"{shlex.join(words)}: {problem}"
        for line in shell_lines(page)
        for words in commands(line.text)
        if (problem := problem_with(words))
    ]
    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_sentence_names_exists(page: Path) -> None:
    problems = [
        f"{text}: {problem}"
        for text in inline_commands(page)
        for words in commands(text)
        if (problem := problem_with(words, whole=False))
    ]
    assert problems == []


def test_wrong_commands_would_be_noticed() -> None:
    assert problem_with(["make", "chat", "PYTHON=python3.12"]) is None
    assert problem_with(["make", "tea"]) == "make has no target tea"
    assert problem_with(["make", "chat", "TEA=1"]) == "make has no variable TEA"
    assert problem_with(["python", "benchmarks/tea.py"]) == "there is no benchmarks/tea.py"
    assert problem_with(["python", "-m", "tests.tea"]) == "there is no tests.tea"
    wrong = {
        "baize-tui models brew": "No such command 'brew'",
        "baize-tui ask Hi --loud": "No such option: --loud",
        "baize-tui --loud": "No such option: --loud",
        "baize-tui ask Hi --temperature warm": "'warm' is not a number",
        "baize-tui sessions rename 3f2a": "Missing argument 'title'",
        "baize-convert merge base": "Missing option '--output'",
        "baize-train sdf ... --loud": "No such option: --loud",
    }
    for text, problem in wrong.items():
        assert problem in (problem_with(shlex.split(text)) or ""), text
    assert problem_with(["baize-train", "sdf", "...", "--method", "dpo"]) is None
    assert problem_with(["baize-convert", "merge", "base"], whole=False) is None


def test_what_a_line_contains() -> None:
    """Pipes, assignments, redirections, and a ``#`` that begins no comment."""
    line = "KEY=1 baize-tui ask 'a b' --model server:http://x#m > out.txt | jq .text"
    assert list(commands(line)) == [
        ["baize-tui", "ask", "a b", "--model", "server:http://x#m"],
        ["jq", ".text"],
    ]
