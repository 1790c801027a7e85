"""``baize-train`` where the extras are not installed: help works, the rest says what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from baize_shared.commands import DONE, FAILED
from baize_train.cli.libraries import explain_missing_library

EXTRAS = (
    *("accelerate", "bitsandbytes", "datasets", "datasketch", "matplotlib", "openai", "peft"),
    *(
        "plotext",
        "py3langid",
        "pyarrow",
        "safetensors",
        "simple_icd_10_cm",
        "torch",
        "transformers",
        "trl",
    ),
)
WITHOUT_EXTRAS = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS!r}))  # None: importing one fails as if it were missing
from baize_train.__main__ import main
main()
"""
CORPUS = "pip install 'baize-tui[corpus]'"
TRAINING = "pip install 'baize-tui[train]'"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *arguments],
        cwd=folder,
        env={**os.environ, "BAIZE_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    turns = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is Paris, on the Seine."},
    ]
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    (tmp_path / "seeds.txt").write_text("What is a river?\n")
    return tmp_path


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("selfchat", "--help"),
        ("finetune", "--help"),
        ("sdf", "--help"),
        ("eval", "--help"),
        ("data", "convert", "--help"),
        ("data", "validate", "corpus.jsonl"),
        ("data", "stats", "corpus.jsonl"),
        ("data", "mix", "corpus.jsonl=1", "-o", "mixed.jsonl"),
    ],
)
def test_what_needs_no_extra_works(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments)
    assert (done.returncode, done.stderr) == (DONE, "")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("data", "convert", "corpus.jsonl", "-o", "out.jsonl", "--dedupe", "0.8"), CORPUS),
        (("data", "convert", "corpus.jsonl", "-o", "out.jsonl", "--language", "en"), CORPUS),
        (
            (
                *("selfchat", "--seeds", "seeds.txt", "-o", "out.jsonl"),
                *("--speaker", "server:http://127.0.0.1:9/v1#m"),
            ),
            CORPUS,
        ),
        (("finetune", "--data", "corpus.jsonl", "-o", "lora"), TRAINING),
    ],
)
def test_what_needs_one_says_how_to_install_it(
    folder: Path, arguments: tuple[str, ...], remedy: str
) -> None:
    done = run(folder, *arguments)
    assert done.returncode == FAILED, done.stderr
    assert done.stderr.startswith("baize-train: ")
    assert done.stderr.rstrip().endswith(remedy)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("library", sorted(set(EXTRAS) - {"bitsandbytes"}))
def test_each_library_of_an_extra_is_explained(library: str) -> None:
    error = explain_missing_library(ModuleNotFoundError("missing", name=f"{library}.part"))
    assert library in str(error)


def test_another_missing_module_is_a_bug() -> None:
    assert explain_missing_library(ModuleNotFoundError("missing", name="baize_train.lost")) is None
