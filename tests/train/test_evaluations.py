"""What ``finetune`` does with held-out dialogues while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baize_train.cli.app import run as run_here
from tests.train.processes import run
from tests.train.small_runs import (
    SMALL,
    TOO_FAST,
    finetune,
    held_out_losses,
    read_samples,
    weights,
)


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(
        np.allclose(ours[name], theirs[name], atol=1e-6) for name in ours
    )


@pytest.mark.training
def test_training_stops_at_the_rise_of_the_held_out_loss_and_keeps_the_best_weights(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    """Interrupted or not: while it trains, and after its last step."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    options = (*TOO_FAST, "--steps", "40", "--eval-every", "2", "--patience", "2", "--samples", "1")
    result = finetune(tiny_llama, corpus, whole, *options)
    losses = held_out_losses(result)
    best = min(list(losses)[1:], key=lambda step: losses[step])
    assert result["best_step"] == best
    assert result["steps"] == best + 4 < 40, losses
    card = (whole / "README.md").read_text()
    assert f"weights of step {best}" in card
    assert f"{losses[0]:.3f} before, {losses[best]:.3f} after" in card
    shorter = tmp_path / "shorter"
    finetune(tiny_llama, corpus, shorter, *TOO_FAST, "--steps", best)
    assert same_weights(whole, shorter), "neither evaluations nor samples change what is learned"

    command = ("finetune", "--base", tiny_llama, "--data", corpus, "-o", resumed, *SMALL, *options)
    obstacle = resumed / "checkpoints" / f"checkpoint-{best + 4}"
    obstacle.parent.mkdir(parents=True)
    obstacle.touch()
    assert "cannot be written" in run(*command).stderr
    obstacle.unlink()
    last = resumed / "baize_prompt.json"
    last.mkdir()
    assert "cannot be written" in run(*command).stderr
    last.rmdir()
    again = finetune(tiny_llama, corpus, resumed, *options)
    assert (again["best_step"], again["steps"]) == (best, best + 4)
    assert held_out_losses(again) == pytest.approx(losses)
    assert same_weights(whole, resumed)
    samples = read_samples(whole)
    assert [sample["step"] for sample in samples] == list(losses)
    assert len({sample["question"] for sample in samples}) == 1
    assert read_samples(resumed) == samples


@pytest.mark.training
def test_one_step_of_one_sequence_has_a_best_step_too(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    options = ("--steps", "1", "--batch", "1", "--keep-best", "--save-every", "7")
    result = finetune(tiny_llama, corpus, tmp_path / "out", *options)
    assert (result["steps"], result["best_step"]) == (1, 1)


@pytest.mark.parametrize("option", ["--keep-best", "--patience=2", "--eval-every=2", "--samples=2"])
def test_evaluations_need_held_out_dialogues(
    option: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["finetune", "--data", str(corpus), "--hold-out", "0", "-o", "x", "--dry-run"]
    assert run_here([*arguments, option]) == 1
    name = option.partition("=")[0]
    assert f"{name}: no dialogues are held out" in capsys.readouterr().err
