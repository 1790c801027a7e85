"""A model process that crashes on this machine, under every command that runs a model."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from baize_tui.engine.crash_switch import VARIABLE
from baize_tui.engine.profiles import LADDER
from baize_tui.paths import Paths, project_paths
from tests.cli.test_commands import set_default
from tests.convert.make_goldens import BASE
from tests.convert.model_folders import convert_folder
from tests.warm_start import PROGRAMS, as_text

Command = Callable[[Path, Path], list[str]]
EVERY = ",".join(profile.name for profile in LADDER)


def ask(_model: Path, _folder: Path) -> list[str]:
    return ["baize_tui", "ask", "What is the capital of France?", "--temperature", "0"]


def import_model(model: Path, _folder: Path) -> list[str]:
    return ["baize_tui", "models", "import", str(model), "--name", "mine"]


def doctor(model: Path, _folder: Path) -> list[str]:
    set_default(model, project_paths())
    return ["baize_tui", "doctor"]


def selfchat(_model: Path, folder: Path) -> list[str]:
    seeds = folder / "seeds.txt"
    seeds.write_text("What is the capital of France?\n")
    return [
        "baize_train", "selfchat", "--seeds", str(seeds), "-o", str(folder / "corpus.jsonl"),
        "--speaker", "local:smollm2-135m", "--turns", "1", "--temperature", "0.0",
    ]  # fmt: skip


def verify(_model: Path, folder: Path) -> list[str]:
    result = folder / "result.gguf"
    convert_folder(BASE, "F32", result)
    return ["baize_convert", "verify", str(result), "--base", str(BASE), "--tokens", "16"]


COMMANDS: tuple[Command, ...] = (ask, import_model, doctor, selfchat, verify)
SIGNALS = ("SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL")
PHASES = ("starting", "loading", "warming-up", "decoding")
ANSWERING = (ask, doctor, selfchat)
"""Commands that generate text; the others only load the model, or evaluate with it."""


def run(command: list[str], crash: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    return as_text(PROGRAMS.run(program, arguments, {**os.environ, VARIABLE: crash}))


@pytest.mark.parametrize(
    ("command", "signal", "phase"),
    [
        pytest.param(command, signal, phase, id=f"{command.__name__}-{signal}-{phase}", marks=marks)
        for row, command in enumerate(COMMANDS)
        for column, signal in enumerate(SIGNALS)
        for phase in PHASES
        if phase != "decoding" or command in ANSWERING
        # One crash for each command always, the others with the sweeps.
        for marks in [() if (column, phase) == (row % 4, PHASES[row % 3]) else (pytest.mark.sweep,)]
    ],
)
def test_the_command_succeeds_in_spite_of_a_crash(
    command: Command, signal: str, phase: str, shallow_smollm2: Path, tmp_path: Path, paths: Paths
) -> None:
    done = run(command(shallow_smollm2, tmp_path), f"{signal} {phase} full,no-extra-buffers")
    assert done.returncode == 0, done.stderr
    notices = [line for line in done.stderr.splitlines() if "llama.cpp now runs without" in line]
    assert notices, done.stderr
    assert all(signal in notice and "flash attention" in notice for notice in notices)
    assert "Traceback" not in done.stderr
    if command is ask:
        assert "Paris" in done.stdout
    elif command is doctor:
        assert "all is well" in done.stdout
        assert "no-flash-attention: without extra buffer types, flash attention" in done.stdout
    elif command is selfchat:
        assert "Paris" in (tmp_path / "corpus.jsonl").read_text()
    elif command is verify:
        assert "same most likely token: 100.0%" in done.stdout
    assert paths.machine_profile_file.exists()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_crash_in_every_machine_profile_ends_in_one_line(
    command: Command, shallow_smollm2: Path, tmp_path: Path
) -> None:
    done = run(command(shallow_smollm2, tmp_path), f"SIGABRT loading {EVERY}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = done.stdout if command is doctor else done.stderr
    (line,) = [line for line in said.splitlines() if "in every machine profile" in line]
    assert ".gguf is damaged, or llama.cpp cannot run it" in line
    assert "SIGABRT while loading the model" in line
    assert "all is well" not in done.stdout
    if command is import_model:
        listed = run(["baize_tui", "models", "list", "--json"], "")
        assert "mine" not in [model["name"] for model in json.loads(listed.stdout)["models"]]
