"""A GGUF with a vocabulary but no weights: llama.cpp can tokenize with it."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.output.architecture_keys import add_architecture_keys
from baize_convert.output.vocabulary_keys import add_vocabulary_keys
from baize_convert.sources.model_config import read_config
from baize_convert.sources.small_files import check_small_files
from baize_convert.vocabulary.reading import read_vocabulary
from baize_shared.atomic_files import replace_when_complete


def write_vocabulary(folder: Path, output: Path) -> None:
    """Write the vocabulary and the chat template of a Hugging Face folder, as a merge does.

    Raises:
        ConvertError: see ``read_config`` and ``read_vocabulary``; or the file cannot be written.
    """
    check_small_files(folder)
    config = read_config(folder)
    writer = GGUFWriter(None, config.architecture.name)
    add_architecture_keys(writer, config)
    add_vocabulary_keys(writer, read_vocabulary(folder, config))
    try:
        with replace_when_complete(output) as partial:
            writer.write_header_to_file(partial)
            writer.write_kv_data_to_file()
            writer.close()
    except OSError as error:
        raise ConvertError(f"{output}: {error.strerror}") from error
