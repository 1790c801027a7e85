"""The vocabulary of a Hugging Face folder as the ``tokenizer.ggml.*`` keys of GGUF.

The rules are those of ``TextModel._set_vocab_*`` in llama.cpp's conversion/base.py, with three
repairs. SentencePiece scores that stand nowhere are rebuilt from the order of the merges, where
llama.cpp writes -1000 for every token and so tokenizes wrongly. Ids of begin and end that
contradict a SentencePiece vocabulary (decapoda's LLaMA) are those of the vocabulary. Every token
that ends an answer is written, where llama.cpp's converter takes one of a list, or none.
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
    """The vocabulary of ``folder``; ``pre`` names the pre-tokenizer where the file does not tell.

    ``model_folder`` is where the model lies, if not in the same folder.

    Raises:
        ConvertError: no tokenizer, one that contradicts the config, or an unknown pre-tokenizer.
    """
    tokenizer = read_json_file(folder / "tokenizer.json", TokenizerFile)
    settings = (
        read_json_file(folder / "tokenizer_config.json", TokenizerConfig) or TokenizerConfig()
    )
    if (folder / "tokenizer.model").is_file():
        found = from_sentencepiece(folder, settings, config.vocab_size)
    elif tokenizer is None:
        raise ConvertError(f"{folder} has no tokenizer.model and no tokenizer.json")
    elif tokenizer.model.byte_fallback and config.architecture == LLAMA:
        found = from_byte_fallback(folder, tokenizer, config.vocab_size)
    else:
        found = from_bpe(folder, tokenizer, config.vocab_size, pre)
    add_special_tokens(found, folder, config)
    if found.model == "llama":
        repair_begin_and_end(found, folder)
    add_end_tokens(found, model_folder or folder, config)
    if config.architecture != LLAMA:
        return found
    found.add_space_prefix = settings.add_prefix_space
    # Two sizes that llama.cpp takes for a model: granite, and so SmolLM2, and CodeLlama.
    if config.vocab_size == 49152:
        found.overrides["bos"] = False
    elif config.vocab_size == 32016:
        found.special_ids |= {"prefix": 32007, "suffix": 32008, "middle": 32009, "eot": 32010}
    return found
