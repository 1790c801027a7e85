"""BASE of every command: a Hugging Face folder or a GGUF file."""

from __future__ import annotations

from pathlib import Path

from baize_convert.checkpoint import Checkpoint
from baize_convert.failures import ConvertError
from baize_convert.gguf_checkpoint import open_gguf
from baize_convert.huggingface_folder import open_folder


def open_base(path: Path) -> Checkpoint:
    """Open ``path`` and check that it is a whole model.

    Raises:
        ConvertError: it is none; the message names what is missing or wrong.
    """
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        return open_gguf(path)
    raise ConvertError(f"{path}: no such folder and no such file")
