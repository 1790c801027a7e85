"""A GGUF that holds a vocabulary and no weights: what tokenizes as llama.cpp will, and no more."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.metadata import add_model, add_vocabulary
from baize_convert.model_config import read_config
from baize_convert.vocabulary import read_vocabulary


def write_vocabulary(folder: Path, output: Path) -> None:
    """Write the vocabulary and the chat template of a Hugging Face folder, as a merge would.

    Raises:
        ConvertError: see ``read_config`` and ``read_vocabulary``; or it cannot be written.
    """
    config = read_config(folder)
    writer = GGUFWriter(None, config.architecture.name)
    add_model(writer, config)
    add_vocabulary(writer, read_vocabulary(folder, config))
    try:
        writer.write_header_to_file(output)
        writer.write_kv_data_to_file()
        writer.close()
    except OSError as error:
        raise ConvertError(f"{output}: {error.strerror}") from error
