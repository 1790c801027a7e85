"""The memory that ``finetune --dry-run`` estimates; ``test_finetune.py`` compares it with a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from baize_train.cli.app import run


@pytest.fixture
def long_corpus(tmp_path: Path) -> Path:
    """Dialogues of more than 512 tokens."""
    answer = " ".join(map(str, range(300)))
    turns = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": answer}]
    file = tmp_path / "long.jsonl"
    file.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(4)))
    return file


def estimate(corpus: Path, capsys: Any, *options: object) -> dict[str, Any]:
    command = ["finetune", "--data", corpus, "-o", "x", "--preset", "cpu-try", "--hold-out", "0"]
    assert run([*map(str, [*command, *options]), "--dry-run", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)["memory"]
    return result


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("options", "megabytes"),
    [
        (("--max-length", 256), 4647),
        (("--max-length", 512), 8055),
        (("--max-length", 512, "--batch", 8, "--micro-batch", 8), 14984),
        (("--max-length", 512, "--checkpointing"), 5184),
    ],
)
def test_it_is_near_the_measured_peak(
    options: tuple[object, ...],
    megabytes: int,
    long_corpus: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``peak_memory`` of run.json, with SmolLM2-135M and PyTorch 2.13 on a processor."""
    total = sum(estimate(long_corpus, capsys, *options)["cpu"].values())
    assert total == pytest.approx(megabytes * 1e6, rel=0.03)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("kind", "options", "megabytes"),
    [
        ("pairs", ("--max-length", 256), 4684),
        ("pairs", ("--max-length", 512, "--checkpointing"), 5169),
        ("marks", ("--max-length", 256), 2916),
        ("marks", ("--max-length", 512, "--checkpointing"), 3217),
    ],
)
def test_it_is_near_the_measured_peak_of_preferences(
    kind: str,
    options: tuple[object, ...],
    megabytes: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``peak_memory`` of two steps with --batch 2."""
    answer, file = " ".join(map(str, range(300))), tmp_path / "preferences.jsonl"
    records = [
        {"prompt": f"Count {n}.", "chosen": answer, "rejected": answer[::-1]}
        if kind == "pairs"
        else {"prompt": f"Count {n}.", "completion": answer, "label": bool(n % 2)}
        for n in range(4)
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    command = ["finetune", "--preference", file, "-o", "x", "--preset", "cpu-try", "--batch", 2]
    assert run([*map(str, [*command, *options]), "--dry-run", "--json"]) == 0
    total = sum(json.loads(capsys.readouterr().out)["memory"]["cpu"].values())
    assert total == pytest.approx(megabytes * 1e6, rel=0.04)


def test_its_parts_follow_the_options(
    long_corpus: Path, smollm2_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = estimate(long_corpus, capsys)
    assert usual["cpu"]["adapter"] == 2_442_240 * 16, "with gradient and AdamW's two moments"
    assert usual["cpu"]["weights"] == 134_515_008 * 4
    assert usual["gpu"]["weights"] == 134_515_008 * 2
    assert estimate(long_corpus, capsys, "--base", smollm2_folder) == usual
    four_bits = estimate(long_corpus, capsys, "--quantize", "4bit")
    assert four_bits["cpu"] is None
    assert four_bits["gpu"]["weights"] < usual["gpu"]["weights"] / 3
    halves = estimate(long_corpus, capsys, "--micro-batch", 2)
    assert halves["gpu"]["activations"] == usual["gpu"]["activations"] / 2


def test_an_adapter_that_is_not_there_is_one_line(
    long_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--data", str(long_corpus), "-o", "x", "--dry-run", "--adapter"]
    assert run([*command, str(tmp_path / "none")]) == 1
    assert "none/adapter_config.json: No such file" in capsys.readouterr().err


def test_the_plan_shows_it(long_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["finetune", "--data", str(long_corpus), "-o", "x", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("memory on a processor: about ")
    assert lines[-1].startswith("memory on a GPU: about ")
