"""Reads the vocabulary of a Hugging Face folder for the ``tokenizer.ggml.*`` keys of GGUF.

The rules are those of ``TextModel._set_vocab_*`` in llama.cpp's conversion/base.py, with three
repairs:

- SentencePiece scores that no file contains are derived from the order of the merges. llama.cpp's
  converter writes -1000 for every token, which tokenizes wrongly.
- Ids of begin and end that contradict a SentencePiece vocabulary (decapoda's LLaMA) are corrected.
- All tokens that end an answer are written. llama.cpp's converter takes one of a list, or none.
"""

from __future__ import annotations

from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.sources.architectures import LLAMA
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.special_tokens import (
    add_end_tokens,
    add_special_tokens,
    repair_begin_and_end,
)
from baize_convert.vocabulary.token_tables import from_bpe, from_byte_fallback, from_sentencepiece
from baize_convert.vocabulary.tokenizer_files import TokenizerConfig, TokenizerFile, read_json_file
from baize_convert.vocabulary.vocabulary import Vocabulary


def read_vocabulary(
    folder: Path, config: ModelConfig, pre: str | None = None, *, model_folder: Path | None = None
) -> Vocabulary:
    """Read the vocabulary in ``folder``; ``pre`` names the pre-tokenizer of a BPE, None detects it.

    ``model_folder`` is the folder of the model, if it is another one.

    Raises:
        ConvertError: there is no tokenizer, it contradicts the config, or its pre-tokenizer is
            unknown.
    """
    tokenizer = read_json_file(folder / "tokenizer.json", TokenizerFile)
    settings = (
        read_json_file(folder / "tokenizer_config.json", TokenizerConfig) or TokenizerConfig()
    )
    if (folder / "tokenizer.model").is_file():
        vocabulary = from_sentencepiece(folder, settings, config.vocab_size)
    elif tokenizer is None:
        raise ConvertError(f"{folder} has no tokenizer.model and no tokenizer.json")
    elif tokenizer.model.byte_fallback and config.architecture == LLAMA:
        vocabulary = from_byte_fallback(folder, tokenizer, config.vocab_size)
    else:
        vocabulary = from_bpe(folder, tokenizer, config.vocab_size, pre)
    add_special_tokens(vocabulary, folder, config)
    if vocabulary.model == "llama":
        repair_begin_and_end(vocabulary, folder)
    add_end_tokens(vocabulary, model_folder or folder, config)
    if config.architecture != LLAMA:
        return vocabulary
    vocabulary.add_space_prefix = settings.add_prefix_space
    # llama.cpp recognizes two models by this size: granite (and with it SmolLM2), and CodeLlama.
    if config.vocab_size == 49152:
        vocabulary.overrides["bos"] = False
    elif config.vocab_size == 32016:
        vocabulary.special_ids |= {"prefix": 32007, "suffix": 32008, "middle": 32009, "eot": 32010}
    return vocabulary
