"""Where an output may be written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource

_LONGEST_ENDING = ".partial.journal"
"""What is added to the name of an output that is not complete."""
_EXTENSION = ".gguf"
_SHOWN = 40
"""Characters of a long name."""


def check_output_path(output: Path, files: Iterable[ByteSource], folders: Iterable[Path]) -> None:
    """Check that ``output`` replaces nothing but an earlier output.

    ``files`` are read for it, and so is what else ``folders`` contain, such as a tokenizer: only an
    earlier GGUF in them may be replaced.

    Raises:
        ConvertError: it is one of the inputs, a folder or a device, its folder does not exist, or
            its name is too long.
    """
    if not output.parent.is_dir():
        raise ConvertError(f"{output.parent}: no such folder")
    _check_length(output)
    target = output.resolve()
    inputs = {source.path.resolve() for source in files if source.is_local}
    is_beside_inputs = target.parent in {folder.resolve() for folder in folders}
    if target in inputs or (is_beside_inputs and output.is_file() and output.suffix != _EXTENSION):
        raise ConvertError(f"{output} is one of the inputs: choose another name")
    if output.is_dir():
        raise ConvertError(f"{output} is a folder: give the name of a file in it")
    if output.exists() and not output.is_file():  # root would replace /dev/null for everyone
        raise ConvertError(f"{output} is not an ordinary file: choose another name")


def _check_length(output: Path) -> None:
    """Check that the files of an unfinished output can be named, too."""
    length = len(os.fsencode(output.name))
    most = os.pathconf(output.parent, "PC_NAME_MAX") - len(_LONGEST_ENDING)
    if length > most:
        raise ConvertError(
            f"{output.name[:_SHOWN]}…: this name has {length} bytes, and at most {most} are "
            "possible: choose a shorter one"
        )
