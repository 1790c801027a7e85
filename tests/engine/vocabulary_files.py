"""Real vocabularies, loaded once: BPE and SentencePiece, with and without user-defined tokens."""

from __future__ import annotations

from functools import cache

from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama.vocabulary import Vocabulary
from tests.conftest import smollm2_file
from tests.vocabularies import FOLDER

# The encoders among llama.cpp's vocabularies (bert-bge, nomic-bert-moe) cannot chat.
NAMES = (
    "llama-spm",
    "phi-3",
    "baichuan",
    "smollm2",
    "llama-bpe",
    "qwen2",
    "gpt-neox",
    "command-r",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "starcoder",
)
SENTENCEPIECE = ("llama-spm", "phi-3", "baichuan")


@cache
def model(name: str) -> Model:
    if name == "smollm2":
        return Model(str(smollm2_file()), vocabulary_only=True)
    file = FOLDER / f"ggml-vocab-{name}.gguf"
    assert file.exists(), "llama.cpp's vocabularies are missing: python -m tests.vocabularies"
    return Model(str(file), vocabulary_only=True)


def vocabulary(name: str) -> Vocabulary:
    return model(name).vocabulary
