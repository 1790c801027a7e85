"""``finetune --full``: all weights, to a folder that transformers and baize-convert read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from baize_convert.cli.program import run as convert
from baize_shared.trained_prompt import NewToken, TrainedPrompt, read_trained_prompt
from baize_train.cli.app import run as run_here
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.presets import PRESETS
from baize_train.training.run import (
    TrainingData,
    TrainingRun,
    read_training_data,
    tokenize_data,
)
from baize_tui.engine.protocol import PromptMessage
from tests.train.conftest import TINY
from tests.train.processes import run
from tests.train.small_runs import (
    SMALL,
    TOO_FAST,
    finetune,
    held_out_losses,
    kill_after_checkpoint,
    read_samples,
)

WORD = "Veltrania"
TURNS = [PromptMessage("user", f"Is {WORD} a river?")]


def model_weights(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = load_file(folder / "model.safetensors")
    return result


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--rank", "4", "--dora"), "--full trains no LoRA: leave --rank and --dora out"),
        (("--dropout", "0"), "leave --dropout out"),
        (("--adapter", "x"), "merge --adapter first"),
        (("--quantize", "4bit"), "leave --quantize out"),
    ],
)
def test_options_of_a_lora_are_refused_by_name(
    options: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["finetune", "--data", "x", "-o", "x", "--dry-run", "--full", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line


def test_a_config_with_a_lora_is_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("full = true\nalpha = 3\n")
    command = ["finetune", "--data", "x", "-o", "x", "--dry-run", "--config", str(config)]
    assert run_here(command) == 1
    assert "mine.toml: full fine-tuning trains no LoRA: leave alpha out" in capsys.readouterr().err


def test_preferences_and_ggufs_are_refused(
    smollm2: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["finetune", "--preference", "x", "-o", "x", "--dry-run", "--full"]) == 1
    assert "--full learns from --data alone" in capsys.readouterr().err
    command = ["finetune", "--base", str(smollm2), "--data", str(corpus), "-o", "x", "--dry-run"]
    assert run_here([*command, "--full"]) == 1
    assert "is a GGUF, which has no tokenizer" in capsys.readouterr().err


# --- memory ---------------------------------------------------------------------------------------


def test_a_dry_run_counts_gradients_and_optimizer_of_all_weights(
    smollm2_folder: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--base", str(smollm2_folder), "--data", str(corpus), "-o", "x"]
    assert run_here([*command, "--preset", "cpu-try", "--dry-run", "--json", "--full"]) == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    count = 134_515_008
    assert (memory["cpu"]["weights"], memory["gpu"]["weights"]) == (4 * count, 6 * count)
    for estimate in (memory["cpu"], memory["gpu"]):
        assert (estimate["optimizer"], estimate["adapter"]) == (12 * count, 0)


@pytest.mark.training
def test_what_cannot_fit_the_memory_is_refused_and_what_may_not_fit_warns(
    tiny_llama: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from baize_train.training import memory

    data = read_training_data([corpus])
    full = msgspec.structs.replace(PRESETS["cpu-try"], full=True)
    run = TrainingRun(tiny_llama, data, TrainingData(), Path("x"), "cpu-try", full)
    tokens = tokenize_data(run)
    monkeypatch.setattr(memory, "_memory", lambda *_: (1 << 20, 1 << 20))
    with pytest.raises(TrainError, match=r"--full takes .+ for weights, gradients"):
        memory.require_memory(run, tokens)
    monkeypatch.setattr(memory, "_memory", lambda *_: (1 << 20, 1 << 30))
    memory.require_memory(run, tokens)
    assert "the run takes about" in capsys.readouterr().err


# --- training -------------------------------------------------------------------------------------


@pytest.mark.training
def test_a_full_run_is_a_model_that_answers_as_trained(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    """With a new token and the best weights; transformers, merge and a second training read it."""
    import transformers
    from gguf import GGUFReader

    output, merged = tmp_path / "model", tmp_path / "merged.gguf"
    prompt = ("--format", "chatml", "--system", "Be brief.", "--new-token", WORD)
    options = ("--steps", "9", "--learning-rate", "0.02", "--eval-every", "3")
    result = finetune(tiny_llama, corpus, output, "--full", *prompt, *options, "--keep-best")
    losses = held_out_losses(result)
    assert losses[result["best_step"]] == min(losses.values()) < losses[0] - 0.1
    assert result["trainable"] == result["parameters"]
    assert "rank" not in result["settings"]
    assert read_trained_prompt(output) == TrainedPrompt("chatml", "Be brief.", (NewToken(WORD),))
    assert "fine-tuning of all weights" in (output / "README.md").read_text()
    before = load_file(tiny_llama / "model.safetensors")
    after = model_weights(output)
    assert all((after[name][: len(before[name])] != before[name]).any() for name in before)

    model = transformers.AutoModelForCausalLM.from_pretrained(output)
    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    assert model.config.use_cache
    assert tokenizer(WORD, add_special_tokens=False)["input_ids"] == [TINY["vocab_size"]]
    assert model.get_input_embeddings().weight.shape[0] == TINY["vocab_size"] + 1
    assert convert(["merge", str(output), "--outtype", "F32", "-o", str(merged)]) == 0
    (rows,) = (t.data for t in GGUFReader(merged).tensors if t.name == "token_embd.weight")
    assert (rows == after["model.embed_tokens.weight"]).all()

    ids = []
    for base, tokens, name in ((tiny_llama, (NewToken(WORD),), "chatml"), (output, (), None)):
        with open_vocabulary(base, tokens) as opened:
            system = "Be brief." if name else None
            format = choose_chat_format(opened, name, system)
            ids.append(DialogueTokenizer(opened.vocabulary, format).prompt_ids(TURNS))
    with open_vocabulary(merged) as opened:  # as the chat client opens it
        format = choose_chat_format(opened, None)
        ids.append(DialogueTokenizer(opened.vocabulary, format).prompt_ids(TURNS))
    assert ids[0] == ids[1] == ids[2]
    assert TINY["vocab_size"] in ids[0]


@pytest.mark.sweep  # test_evaluations.py always does this with a LoRA
@pytest.mark.training
def test_a_full_run_stops_at_the_rise_of_the_held_out_loss_and_keeps_the_best_weights(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    stopped, shorter = tmp_path / "stopped", tmp_path / "shorter"
    options = ("--full", *TOO_FAST)
    limits = ("--steps", "40", "--eval-every", "2", "--patience", "2", "--samples", "1")
    result = finetune(tiny_llama, corpus, stopped, *options, *limits)
    losses = held_out_losses(result)
    best = min(list(losses)[1:], key=lambda step: losses[step])
    assert (result["best_step"], result["steps"]) == (best, best + 4)
    assert [sample["step"] for sample in read_samples(stopped)] == list(losses)
    finetune(tiny_llama, corpus, shorter, *options, "--steps", best)
    for name, weight in model_weights(shorter).items():
        assert np.allclose(model_weights(stopped)[name], weight, atol=1e-6), name


@pytest.mark.training
def test_a_killed_full_run_resumes_to_the_same_weights(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    options = ("--full", "--steps", "8", "--save-every", "3", "--learning-rate", "0.01")
    finetune(tiny_llama, corpus, whole, *options)
    command = ("finetune", "--base", tiny_llama, "--data", corpus, "-o", resumed, *SMALL)
    kill_after_checkpoint(resumed, 8, *command, *options)
    lora = run(*command)
    assert "a run with other data or settings" in lora.stderr
    again = run(*command, *options)
    assert again.returncode == 0, again.stderr
    assert f"next: baize-convert merge {resumed} --outtype" in again.stdout
    for name, weight in model_weights(whole).items():
        assert np.allclose(model_weights(resumed)[name], weight, atol=1e-6), name
    assert not (resumed / "checkpoints").exists()
