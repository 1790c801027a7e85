"""BASE of every command: a Hugging Face folder, a GGUF file, or a model on the hub."""

from __future__ import annotations

from pathlib import Path

from baize_convert import hub, hub_names
from baize_convert.checkpoint import Checkpoint
from baize_convert.failures import ConvertError
from baize_convert.gguf_checkpoint import open_gguf
from baize_convert.huggingface_folder import open_folder


def open_base(given: Path | str) -> Checkpoint:
    """Open the model at a path, or on the hub, and check that it is whole.

    Raises:
        ConvertError: it is none; the message names what is missing or wrong.
    """
    if str(given).startswith(hub_names.PREFIX):
        repository = hub.open_repository(hub_names.parse_name(str(given)))
        return open_folder(repository.folder, repository)
    path = Path(given)
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        return open_gguf(path)
    raise ConvertError(f"{path}: no such folder and no such file")
