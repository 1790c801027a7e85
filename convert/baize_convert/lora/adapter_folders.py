"""Where the adapter is in a folder: trainers save it in ``checkpoint-500``, PEFT in ``default``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from baize_convert.failures import ConvertError, first_few

_CONFIG = "adapter_config.json"
_DEEPEST = 3
"""Folders between a folder and an adapter in it."""


def list_configs(folder: Path) -> list[str]:
    """The configs of adapters in a folder and in those inside it, as paths relative to it."""
    levels = ("/".join(["*"] * depth + [_CONFIG]) for depth in range(_DEEPEST + 1))
    return [file.relative_to(folder).as_posix() for level in levels for file in folder.glob(level)]


def choose_adapter(label: str, files: Iterable[str], folder: str = "") -> str:
    """The folder with the adapter: ``folder`` itself, or the only one inside it that has one.

    ``files`` are paths of files of ``label``. If no folder has an adapter, it is ``folder``.

    Raises:
        ConvertError: several folders inside ``folder`` have adapters; they are named.
    """
    outer = PurePosixPath(folder)
    folders = sorted(
        (PurePosixPath(file).parent for file in files if PurePosixPath(file).name == _CONFIG),
        key=lambda path: (len(path.parts), str(path)),
    )
    inside = [path for path in folders if path.is_relative_to(outer)]
    if outer in inside or not inside:
        return folder
    if len(inside) > 1:
        names = [str(path.relative_to(outer)) for path in inside]
        raise ConvertError(
            f"{label} has {len(inside)} adapters ({first_few(names, limit=5)}): name one of these "
            "folders"
        )
    return str(inside[0])
