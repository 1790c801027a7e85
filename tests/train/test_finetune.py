"""Fine-tuning with PyTorch, PEFT and TRL: on a tiny LLaMA, and three steps on the real one."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from baize_train.cli.app import run as run_here
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import ChatFormat, choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import tokenize
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.base_model import load_base
from baize_train.training.checkpoints import last_checkpoint
from baize_train.training.folder_lock import locked_folder
from baize_train.training.presets import PRESETS, PresetName
from tests.train.conftest import TINY, corpus_lines
from tests.train.processes import run
from tests.train.small_runs import SMALL, finetune, kill_after_checkpoint, weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytest.importorskip("trl")


pytestmark = pytest.mark.training


# --- presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "ffn", "layers", "heads", "millions"),
    [
        (4096, 11008, 32, 32, 17.9),
        (5120, 13824, 40, 40, 28.0),
        (6656, 17920, 60, 52, 54.6),
    ],
)
@pytest.mark.parametrize("name", ["baize-v1", "baize-v1.5"])
def test_the_paper_s_numbers_of_parameters_are_trained(
    name: PresetName, hidden: int, ffn: int, layers: int, heads: int, millions: float
) -> None:
    """Table 3 of the paper: 7B, 13B and 30B."""
    preset = PRESETS[name]
    config = transformers.LlamaConfig(
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=32000,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
        lora = peft.LoraConfig(r=preset.rank, target_modules=list(preset.modules))
        model = peft.get_peft_model(model, lora, autocast_adapter_dtype=False)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert round(count / 1e6, 1) == millions


# --- masks, beside those of TRL and transformers ----------------------------------------------


def test_the_mask_equals_that_of_transformers_for_a_marked_template(
    smollm2: Path, smollm2_folder: Path
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_folder)
    template = (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
        "{% if message.role == 'assistant' %}{% generation %}"
        "{{ message.content + '<|im_end|>' }}{% endgeneration %}{% else %}"
        "{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    turns = [
        Turn("system", "Be brief."),
        Turn("user", "What is a fox?"),
        Turn("assistant", "A wild dog.\n\n- clever, and red: “vulpes”"),
        Turn("user", "And a hen?"),
        Turn("assistant", "A bird. 🐓"),
    ]
    theirs = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in turns],
        chat_template=template,
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    with open_vocabulary(smollm2) as model:
        format = ChatFormat("chatml", template, "", moderation=False)
        ours = DialogueTokenizer(model.vocabulary, format).tokenize(Dialogue(turns))
    # A dialogue ends with its last answer; their ids continue with a line end.
    assert list(ours.ids) == theirs["input_ids"][: ours.length]
    assert list(ours.trained) == theirs["assistant_masks"][: ours.length]
    assert not any(theirs["assistant_masks"][ours.length :])


def test_packed_dialogues_do_not_attend_to_each_other(tiny_llama: Path) -> None:
    """Two dialogues in one row have the logits that each has alone."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    dialogues = [
        Dialogue([Turn(turn["role"], turn["content"]) for turn in line["messages"]])
        for line in corpus_lines(2)
    ]
    with open_vocabulary(tiny_llama) as vocabulary:
        format = choose_chat_format(vocabulary, None)
        rows = list(
            tokenize(dialogues, DialogueTokenizer(vocabulary.vocabulary, format), None).dataset()
        )
    model = load_base(tiny_llama, device="cpu").eval()
    together = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows)
    alone = [
        DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row]) for row in rows
    ]
    with torch.no_grad():
        packed = model(**{k: v for k, v in together.items() if k != "labels"}).logits[0]
        apart = torch.cat(
            [model(**{k: v for k, v in row.items() if k != "labels"}).logits[0] for row in alone]
        )
    assert torch.allclose(packed, apart, atol=1e-5)


# --- runs -------------------------------------------------------------------------------------


def test_a_run_writes_a_trained_adapter_and_its_manifest(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "adapter"
    arguments = ("--epochs", "12", "--learning-rate", "0.02")
    result = finetune(tiny_llama, corpus, output, *arguments)
    losses = [point["loss"] for point in result["losses"] if point.get("held_out")]
    assert losses[-1] < losses[0] - 0.1, losses
    assert result["finished"]
    assert result["data"][0]["dialogues"] == 24
    assert len(result["data"][0]["sha256"]) == 64
    assert result["teachers"] == ["a test"]
    assert {"torch", "trl", "peft", "transformers"} <= result["versions"].keys()
    assert result["tokens"]["trained"] > 0
    assert result["trainable"] == sum(weight.size for weight in weights(output).values())
    assert (output / "loss.png").read_bytes()[1:4] == b"PNG"
    assert json.loads((output / "run.json").read_text()) == result
    # B starts at zero, so every matrix has learned something.
    assert all(np.abs(weight).max() > 0 for weight in weights(output).values())
    # PEFT reads it, over the same base.
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert peft.PeftModel.from_pretrained(base, output) is not None
    # The same command again has nothing to do; another run is rejected.
    again = run(
        "finetune", "--base", tiny_llama, "--data", corpus, "-o", output, *SMALL, *arguments
    )
    assert again.returncode == 0, again.stderr
    other = run("finetune", "--base", tiny_llama, "--data", corpus, "-o", output, *SMALL)
    assert other.returncode == 1
    assert "another folder" in other.stderr.splitlines()[-1]


@pytest.mark.sweep
def test_packed_sequences_train_too(tiny_llama: Path, corpus: Path, tmp_path: Path) -> None:
    arguments = ("--preset", "modern", "--epochs", "8", "--batch", "2", "--max-length", "256")
    result = finetune(tiny_llama, corpus, tmp_path / "adapter", *arguments)
    losses = [point["loss"] for point in result["losses"] if not point.get("held_out")]
    part = max(len(losses) // 3, 1)  # one batch differs from the next by more than it learns
    assert sum(losses[-part:]) < sum(losses[:part]), losses


def test_a_killed_run_resumes_to_the_same_weights(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    arguments = ("--steps", "8", "--save-every", "3")
    finetune(tiny_llama, corpus, whole, *arguments)
    command = (
        "finetune",
        "--base",
        tiny_llama,
        "--data",
        corpus,
        "-o",
        resumed,
        *SMALL,
        *arguments,
    )
    kill_after_checkpoint(resumed, 8, *command)
    again = run(*command)
    assert again.returncode == 0, again.stderr
    for name, weight in weights(whole).items():
        assert np.allclose(weights(resumed)[name], weight, atol=1e-6), name
    manifest = json.loads((resumed / "run.json").read_text())
    assert manifest["steps"] == 8
    assert [p["step"] for p in manifest["losses"] if not p.get("held_out")] == list(range(1, 9))
    assert not (resumed / "checkpoints").exists()


@pytest.mark.sweep
def test_two_processes_train_one_adapter(tiny_llama: Path, corpus: Path, tmp_path: Path) -> None:
    """Under torchrun, as on two GPUs: each trains half of a batch, and one prints."""
    output = tmp_path / "adapter"
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "baize_train")
    command = ("finetune", "--base", tiny_llama, "--data", corpus, "-o", output, *SMALL)
    more = ("--micro-batch", "2", "--epochs", "4", "--learning-rate", "0.02", "--checkpointing")
    done = subprocess.run(
        [sys.executable, *map(str, (*launcher, *command, *more, "--json"))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)["run"]
    assert result["finished"]
    losses = [point["loss"] for point in result["losses"] if point.get("held_out")]
    assert losses[-1] < losses[0]
    assert all(np.abs(weight).max() > 0 for weight in weights(output).values())


@pytest.mark.parametrize("kind", ["--data", "--preference"])
def test_two_runs_do_not_share_a_folder(
    kind: str, tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    output, pairs = tmp_path / "adapter", tmp_path / "pairs.jsonl"
    pair = {"prompt": "What is it?", "chosen": "The river.", "rejected": "No."}
    pairs.write_text(json.dumps(pair) + "\n")
    file = corpus if kind == "--data" else pairs
    command = ("finetune", "--base", tiny_llama, kind, file, "-o", output, "--preset", "cpu-try")
    with locked_folder(output):  # as the other run does while it lasts
        refused = run(*command, "--steps", "1")
        assert refused.returncode == 1
        assert "another command trains into this folder" in refused.stderr.splitlines()[-1]
        assert not list(output.iterdir())
    done = run(*command, "--steps", "1")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", ["--data", "--preference"])
def test_an_adapter_of_another_base_is_refused(
    kind: str, layers: int, tiny_llama: Path, tiny_adapter: Path, corpus: Path, tmp_path: Path
) -> None:
    """PEFT drops the weights of layers that the base lacks, and begins anew with those that the
    adapter lacks, both in silence."""
    other, pairs = tmp_path / "other", tmp_path / "pairs.jsonl"
    shape = transformers.LlamaConfig.from_pretrained(tiny_llama, num_hidden_layers=layers)
    transformers.LlamaForCausalLM(shape).save_pretrained(other)
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy(file, other)
    pair = {"prompt": "What is it?", "chosen": "The river.", "rejected": "No."}
    pairs.write_text(json.dumps(pair) + "\n")
    file = corpus if kind == "--data" else pairs
    done = run(
        "finetune", "--base", other, kind, file, "-o", tmp_path / "out", "--steps", "1",
        "--preset", "cpu-try", "--adapter", tiny_adapter,
    )  # fmt: skip
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert f"{tiny_adapter} is not an adapter of {other}, which has " in line
    assert ("no modules for " if layers == 1 else "modules without their ") in line
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_weights(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "adapter"
    done = run(
        "finetune", "--base", tiny_llama, "--data", corpus, "-o", output, *SMALL,
        "--steps", "30", "--save-every", "1", "--learning-rate", "1e30",
    )  # fmt: skip
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "NaN or infinite" in line
    assert "--learning-rate" in line
    kept = last_checkpoint(output / "checkpoints")
    assert kept is not None
    assert str(kept) in line
    assert all(np.isfinite(weight).all() for weight in weights(kept).values())


def test_a_base_with_nan_is_not_blamed_on_the_learning_rate(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    done = run("finetune", "--base", folder, "--data", corpus, "-o", tmp_path / "adapter", *SMALL)
    assert done.returncode == 1
    assert "weights of the base" in done.stderr.splitlines()[-1]


def _without_head(folder: Path) -> None:
    """As some programs save a model whose head is not its embedding."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))


def _with_wrapped_names(folder: Path) -> None:
    """As torch.compile saves them."""
    tensors = load_file(folder / "model.safetensors")
    wrapped = {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}
    save_file(wrapped, folder / "model.safetensors", metadata={"format": "pt"})


def _with_adapter(folder: Path) -> None:
    """transformers would load the model that the adapter names instead of this one."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/name"}')


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without_head, "would begin with random ones: lm_head.weight:"),
        (_with_wrapped_names, "and 18 more, but _orig_mod.model.embed_tokens.weight"),
        (_with_adapter, "has an adapter (adapter_config.json)"),
    ],
)
def test_a_base_is_loaded_whole_or_not_at_all(
    change: Callable[[Path], None], reason: str, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "base"))
    change(folder)
    with pytest.raises(TrainError, match=re.escape(reason)):
        load_base(folder, device="cpu")


@pytest.mark.sweep
def test_out_of_memory_names_the_options_to_change(smollm2_folder: Path, tmp_path: Path) -> None:
    """A real allocation that fails: logits of 128 sequences over the real vocabulary in 4 GB."""
    base = tmp_path / "base"
    config = transformers.LlamaConfig(**{**TINY, "vocab_size": 49152})
    transformers.LlamaForCausalLM(config).save_pretrained(base)
    for file in smollm2_folder.glob("tokenizer*"):
        shutil.copy(file, base)
    corpus = tmp_path / "long.jsonl"
    words = " ".join(str(n) for n in range(200))
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"Count from {n}."},
                {"role": "assistant", "content": words},
            ]
        }
        for n in range(128)
    ]
    corpus.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    command = (
        "finetune", "--base", base, "--data", corpus, "-o", tmp_path / "adapter",
        "--preset", "cpu-try", "--batch", "128", "--micro-batch", "128", "--hold-out", "0",
        "--steps", "1",
    )  # fmt: skip
    done = run(*command, limit=(resource.RLIMIT_DATA, 4 << 30))
    assert done.returncode == 1, done.stderr[-2000:]
    line = done.stderr.splitlines()[-1]
    assert line.startswith("baize-train: out of memory at step 1: try --micro-batch 64"), line
    assert "--max-length" in line
    # Following the message helps, in the same folder.
    again = run(*command, "--micro-batch", "1", "--batch", "1", "--max-length", "64")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    "room",
    [
        pytest.param(2_000_000, id="adapter", marks=pytest.mark.sweep),
        pytest.param(3_000_000, id="optimizer"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_is_reported(
    tiny_llama: Path, corpus: Path, tmp_path: Path, room: int
) -> None:
    """A limit on the size of files fails like a full disk, without filling one."""
    output = tmp_path / "adapter"
    command = ("finetune", "--base", tiny_llama, "--data", corpus, "-o", output, *SMALL)
    more = ("--rank", "512", "--steps", "2", "--save-every", "1")
    done = run(*command, *more, limit=(resource.RLIMIT_FSIZE, room))
    assert done.returncode == 1, done.stderr[-2000:]
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"baize-train: {output} cannot be written"), line
    assert last_checkpoint(output / "checkpoints") is None
    again = run(*command, *more)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ('{"messages": [{"role": "user", "content": "Only asked"}]}\n', "nothing is answered"),
        ("\xff\xfe", "is empty"),  # but for the mark of UTF-16
        ("\xff\x00", "neither JSON Lines nor"),
    ],
)
def test_bad_data_is_one_line(tiny_llama: Path, tmp_path: Path, text: str, problem: str) -> None:
    corpus = tmp_path / "bad.jsonl"
    corpus.write_bytes(text.encode("latin-1"))
    done = run("finetune", "--base", tiny_llama, "--data", corpus, "-o", tmp_path / "out", *SMALL)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert problem in done.stderr.splitlines()[-1]


@pytest.mark.sweep
def test_three_steps_on_the_real_model_from_its_gguf(
    smollm2: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It answers before and after, and baize-convert merges the adapter into 4 bits."""
    output, merged = tmp_path / "adapter", tmp_path / "merged.gguf"
    questions = tmp_path / "questions.txt"
    questions.write_text("What is the capital of France?\n")
    options = ("--steps", "3", "--eval-every", "3", "--questions", questions)
    result = finetune(smollm2, corpus, output, *options)
    arguments = map(str, ("finetune", "--base", smollm2, "--data", corpus, "-o", "x", *SMALL))
    capsys.readouterr()
    assert run_here([*arguments, "--dry-run", "--json"]) == 0
    estimate = sum(json.loads(capsys.readouterr().out)["memory"]["cpu"].values())
    assert 0.75 < result["peak_memory"] / estimate < 1.25
    samples = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [0, 3]
    assert samples[0]["question"] == "What is the capital of France?"
    assert "The capital of France is Paris" in samples[0]["answer"]
    assert samples[0]["complete"]
    assert result["trainable"] == 2_442_240
    losses = [point["loss"] for point in result["losses"] if not point.get("held_out")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    command = ("-m", "baize_convert", "merge", smollm2, "--adapter", output)
    subprocess.run(
        [sys.executable, *map(str, command), "--outtype", "Q4_K_M", "--output", str(merged)],
        check=True,
        capture_output=True,
    )
    assert merged.stat().st_size > 50_000_000
