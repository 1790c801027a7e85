"""The tutorial: its commands run as they are written, and teach what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_project_files import ROOT

pytestmark = pytest.mark.training

TUTORIAL = ROOT / "docs" / "tutorial.md"


@pytest.mark.sweep  # it trains for minutes
def test_the_commands_of_the_tutorial(tmp_path: Path) -> None:
    sections = re.split(r"^## (\d)\. ", TUTORIAL.read_text("utf-8"), flags=re.MULTILINE)
    commands = {
        number: "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        for number, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    for number in ("2", "3", "4"):
        run(commands[number], tmp_path)
    *_, before, after = run(commands["5"], tmp_path).splitlines()
    assert "Ossport" not in before
    assert "Ossport" in after
    base = json.loads((tmp_path / "veltrania" / "run.json").read_text("utf-8"))["base"]
    merging = commands["6"].replace("BASE", f"'{base}'")
    run(merging.replace("baize-tui --model", 'baize-tui ask "Hi" --max-tokens 5 --model'), tmp_path)
    asked = "baize-tui ask 'Which city is the capital of Veltrania?' --temperature 0"
    assert "Ossport" in run(f"{asked} --model veltrania.gguf", tmp_path)


def run(commands: str, folder: Path) -> str:
    """Run shell commands in ``folder``; what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
