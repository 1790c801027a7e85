"""The base of a fine-tuning on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baize_shared.sizes import size_text
from tests.hub.conftest import Run
from tests.hub.stand_in import Hub


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """One short dialogue."""
    turns = [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "Yes."}]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"messages": turns}))
    return corpus


def cached_weights(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hf").rglob("*.safetensors"))


def test_counting_tokens_downloads_no_weights(
    hub: Hub, run_training: Run, corpus: Path, tmp_path: Path
) -> None:
    arguments = ("--data", corpus, "-o", tmp_path / "out", "--format", "chatml", "--hold-out", "0")
    finetune = ("finetune", "--base", "hf:owner/smollm2", *arguments, "--dry-run")
    done = run_training(*finetune, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["steps"] == 2, "one of each epoch"
    # Yes, a full stop, and what ends a turn.
    assert report["tokens"]["trained"] == 3
    shown = run_training("data", "preview", corpus, "--base", "hf:owner/smollm2")
    assert shown.returncode == 0, shown.stderr
    assert cached_weights(tmp_path) == []
    again = run_training(*finetune, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr


def test_the_cost_of_a_base_is_shown_before_it_is_downloaded_once(
    hub: Hub, run_training: Run, corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "with a card"
    folder.mkdir()
    for file in hub.folders["owner/model"].iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "README.md").write_text("---\nlicense: plum-1.0\n---\n")
    hub.folders["owner/model"] = folder
    evaluate = ("eval", "--data", corpus, "--base", "hf:owner/model", "--format", "chatml")
    hub.faults.after_bytes = 2_000_000  # the tokenizer and the headers arrive
    failed = run_training(*evaluate)
    assert failed.returncode == 1
    cost = failed.stderr.splitlines()[0]
    size = size_text(sum(file.stat().st_size for file in folder.glob("*.safetensors")))
    assert f"hf:owner/model: {size} to download" in cost
    assert "5.1 MB of memory for its weights" in cost
    assert "fits" in cost
    assert "licence: plum-1.0" in cost
    assert cached_weights(tmp_path) == []
    hub.faults.after_bytes = None
    done = run_training(*evaluate)
    assert done.returncode == 0, done.stderr
    assert cached_weights(tmp_path)
    again = run_training(*evaluate, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert "to download" not in again.stderr


@pytest.mark.training
def test_a_missing_base_is_one_line(run_training: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("{}")
    done = run_training(
        "finetune", "--base", "hf:owner/nowhere", "--data", corpus, "-o", tmp_path / "out"
    )
    assert done.returncode == 1
    assert "hf:owner/nowhere" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
