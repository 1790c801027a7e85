"""The files that the pages name, with the real model wherever they name one."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from baize_shared.shipped_models import shipped_models
from baize_tui.catalog.recipes import read_recipe
from tests.chat import foreign_exports
from tests.chat.pdf_files import pdf
from tests.train.self_talk import WORDS

BASE = "huggyllama/llama-7b"
SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LORAS = ("project-baize/baize-lora-7B", "project-baize/baize-healthcare-lora-7B", "owner/lora")
READY_MADE = ("llama-3.1-8b", "llama-3.2-1b", "llama-3.2-3b")
"""Recipes of a GGUF that is downloaded as it is."""
LAYERS, WIDTH, RANK = 30, 576, 4
QUESTIONS = [f"What is a {word} made of?" for word in WORDS]
MEETING = {
    "type": "object",
    "properties": {"day": {"enum": ["Monday", "Friday"]}, "hour": {"type": "integer"}},
    "required": ["day", "hour"],
}
PERSON = {"type": "object", "properties": {"name": {"enum": ["Ada", "Alan"]}}, "required": ["name"]}


def write_files(folder: Path, model: Path, checkpoint: Path) -> None:
    """Write into ``folder``, which is a home folder: ``model`` is a GGUF, ``checkpoint`` the same
    model as a folder."""
    (folder / "Downloads").mkdir(parents=True)
    (folder / "Downloads" / "mine.Q4_K_M.gguf").symlink_to(model)
    (folder / "ggufs").mkdir()
    (folder / "ggufs" / "mine.gguf").write_bytes(model.read_bytes())
    (folder / "ggufs" / "README.md").write_text("---\nlicense: apache-2.0\n---\nMine.\n")
    (folder / "llama-7b").symlink_to(checkpoint)
    _write_base_model(folder / "base-model", checkpoint)
    write_lora_folder(folder / "my-lora", BASE)
    _write_texts(folder)
    _write_corpora(folder)
    for archive in (folder / "chatgpt-export.zip", folder / "Downloads" / "chatgpt-export.zip"):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("conversations.json", json.dumps([foreign_exports.chatgpt_2023()]))
    (folder / "backups").mkdir()


def _write_base_model(folder: Path, checkpoint: Path) -> None:
    """The model with other names for the tokens of its turns, as one that was never taught any."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.suffix == ".json":
            text = file.read_text("utf-8")
            renamed = text.replace("<|im_start|>", "<|extra_1|>").replace(
                "<|im_end|>", "<|extra_2|>"
            )
            (folder / file.name).write_text(renamed, "utf-8")
        elif file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file)


def hub_folders(folder: Path, model: Path, checkpoint: Path) -> dict[str, Path]:
    """The repositories of a hub, below ``folder``: those of the recipes, and of the examples."""
    folders = dict.fromkeys((BASE, SMALL, "owner/model"), checkpoint)
    for name in LORAS:
        folders[name] = write_lora_folder(folder / name, BASE)
    for name in READY_MADE:
        recipe = read_recipe(shipped_models() / f"{name}.toml")
        repository = (recipe.repository or "").removeprefix("hf:")
        folders[repository] = folder / repository
        folders[repository].mkdir(parents=True)
        (folders[repository] / str(recipe.file)).symlink_to(model)
    return folders


def write_lora_folder(folder: Path, base: str) -> Path:
    """A LoRA on the real model's queries, as PEFT saves it, that changes next to nothing."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(1)
    tensors = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        shapes = {"lora_A": (RANK, WIDTH), "lora_B": (WIDTH, RANK)}
        for half, shape in shapes.items():
            values = numbers.standard_normal(shape, np.float32) * 0.001
            tensors[f"{name}.{half}.weight"] = values
    save_file(tensors, folder / "adapter_model.safetensors")
    config: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
    }
    config |= {"r": RANK, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _write_texts(folder: Path) -> None:
    lines = "".join(f"{question}\n" for question in QUESTIONS)
    for name in ("questions.txt", "seeds.txt", "instructions.txt"):
        (folder / name).write_text(lines)
    (folder / "notes.txt").write_text("The meeting is on Friday at 10.\n")
    (folder / "meeting.json").write_text(json.dumps(MEETING))
    (folder / "person.json").write_text(json.dumps(PERSON))
    (folder / "src").mkdir()
    (folder / "src" / "add.py").write_text("def add(a, b):\n    return a + b\n")
    (folder / "design.pdf").write_bytes(pdf("Two modules, one file each."))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "notes.txt"], cwd=folder, check=True)
    (folder / "notes.txt").write_text("The meeting is on Friday at 11.\n")


def _write_corpora(folder: Path) -> None:
    dialogues = [
        [("user", question), ("assistant", f"Of {word} and {other}.")]
        for question, word, other in zip(QUESTIONS, WORDS, reversed(WORDS), strict=True)
    ]
    messages = [
        {"messages": [{"role": role, "content": text} for role, text in dialogue]}
        for dialogue in dialogues
    ]
    lines = "".join(json.dumps(record) + "\n" for record in messages)
    for name in ("corpus", "held-out", "eval", "train", "a", "b"):
        (folder / f"{name}.jsonl").write_text(lines)
    own = [{"chat": [{"who": role, "said": text} for role, text in each]} for each in dialogues]
    (folder / "chats.jsonl").write_text("".join(json.dumps(record) + "\n" for record in own))
    sharegpt = [
        {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}
        for (_, q), (_, a) in dialogues
    ]
    (folder / "old.json").write_text(json.dumps(sharegpt))
    rows = "".join(f"{question},{answer}\n" for (_, question), (_, answer) in dialogues)
    (folder / "faq.csv").write_text(f"Frage,Antwort\n{rows}")
