"""A GGUF with a vocabulary but no weights: llama.cpp can tokenize with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.output.architecture_keys import add_architecture_keys
from baize_convert.output.chat_prompt import ChatPrompt, complete_prompt
from baize_convert.output.vocabulary_keys import add_vocabulary_keys
from baize_convert.sources.model_config import read_config
from baize_convert.sources.small_files import check_small_files
from baize_convert.vocabulary.reading import read_vocabulary
from baize_shared.atomic_files import replace_when_complete


def write_vocabulary(
    folder: Path,
    output: Path,
    *,
    tokenizer: Path | None = None,
    vocab_size: int | None = None,
    words: tuple[str, ...] = (),
) -> None:
    """Write the vocabulary and the chat template of a Hugging Face folder, as a merge does.

    ``tokenizer`` is the folder of a tokenizer with more tokens, ``vocab_size`` their number, and
    ``words`` are those of them that occur in texts.

    Raises:
        ConvertError: see ``read_config`` and ``read_vocabulary``; or the file cannot be written.
    """
    check_small_files(folder)
    config = read_config(folder)
    if vocab_size is not None:
        config = msgspec.structs.replace(config, vocab_size=vocab_size)
    writer = GGUFWriter(None, config.architecture.name)
    add_architecture_keys(writer, config)
    vocabulary = read_vocabulary(tokenizer or folder, config, model_folder=folder)
    add_vocabulary_keys(writer, vocabulary)
    complete_prompt(ChatPrompt(words=words), [folder]).add_keys(writer)
    try:
        with replace_when_complete(output) as partial:
            writer.write_header_to_file(partial)
            writer.write_kv_data_to_file()
            writer.close()
    except OSError as error:
        raise ConvertError(f"{output}: {error.strerror}") from error
