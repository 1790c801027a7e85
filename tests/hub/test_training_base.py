"""The base of a fine-tuning on the hub."""

from __future__ import annotations

import json
from pathlib import Path

from tests.hub.conftest import Run
from tests.hub.stand_in import Hub


def test_a_base_on_the_hub_is_downloaded_once_into_its_cache(
    hub: Hub, run_training: Run, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    turns = [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "Yes."}]
    corpus.write_text(json.dumps({"messages": turns}))
    arguments = ("--data", corpus, "-o", tmp_path / "out", "--format", "chatml", "--hold-out", "0")
    for _ in range(2):
        done = run_training(
            "finetune", "--base", "hf:owner/smollm2", *arguments, "--dry-run", "--json"
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["steps"] == 1
        # Yes, a full stop, and what ends a turn.
        assert report["tokens"]["trained"] == 3
    assert list((tmp_path / "hf").rglob("*.safetensors"))
    again = run_training(
        *("finetune", "--base", "hf:owner/smollm2", *arguments, "--dry-run"), HF_HUB_OFFLINE="1"
    )
    assert again.returncode == 0, again.stderr


def test_a_missing_base_is_one_line(run_training: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("{}")
    done = run_training(
        "finetune", "--base", "hf:owner/nowhere", "--data", corpus, "-o", tmp_path / "out"
    )
    assert done.returncode == 1
    assert "hf:owner/nowhere" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
