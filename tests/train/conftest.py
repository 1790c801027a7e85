"""A tiny LLaMA with the real vocabulary, as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.made_once import made_once

TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.fixture(scope="session")
def tiny_llama(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(folder: Path) -> None:
        torch.manual_seed(3)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY))
        model.save_pretrained(folder)
        for file in smollm2_folder.glob("tokenizer*"):
            (folder / file.name).write_bytes(file.read_bytes())

    return made_once(tmp_path_factory, "tiny-llama", make)


WORDS = ["oak", "river", "paper", "stone", "lamp", "cloud", "bread", "chair", "glass", "wool"]


def corpus_lines(count: int) -> list[dict[str, Any]]:
    """Different dialogues that a model can learn."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is number {n}?"},
                {"role": "assistant", "content": f"Number {n} is the {WORDS[n % 10]}."},
                {"role": "user", "content": "Sure?"},
                {"role": "assistant", "content": f"Yes, the {WORDS[n % 10]}."},
            ],
            "meta": {"teacher": "a test"},
        }
        for n in range(count)
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in corpus_lines(24)))
    return file
