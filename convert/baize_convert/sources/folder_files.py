"""The files in a folder, among them links whose target was deleted, and snapshots of the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from baize_convert.failures import ConvertError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
"""The files that a vocabulary and its chat template are read from."""
_READ_BESIDE_WEIGHTS = frozenset(
    ["config.json", "generation_config.json", "chat_template.json", *TOKENIZER_FILES]
)
"""Files that change the output: without one of them it would be another model, or none."""
_UNFINISHED = (".incomplete", ".partial", ".part", ".crdownload", ".aria2", ".download")
_CACHED = re.compile(r"models--(?P<repo>.+)")


@dataclass(frozen=True)
class FolderFiles:
    """The names of files in a folder, and the links in it whose target does not exist."""

    names: frozenset[str]
    dangling: frozenset[str]


def list_files(folder: Path) -> FolderFiles:
    """List a folder, without its subfolders.

    Raises:
        ConvertError: it cannot be read, or a file beside the weights is a link to nothing.
    """
    try:
        paths = list(folder.iterdir())
        dangling = frozenset(path.name for path in paths if path.is_symlink() and not path.exists())
        names = frozenset(path.name for path in paths if path.is_file())
    except OSError as error:
        raise ConvertError(f"{folder}: {error.strerror}") from error
    for name in sorted(dangling & _READ_BESIDE_WEIGHTS):
        raise ConvertError(dangling_text(folder, name))
    return FolderFiles(names, dangling)


def dangling_text(folder: Path, name: str) -> str:
    """A message about the link ``name``, whose target was deleted, with what to do."""
    return f"{folder / name} is a link to a file that no longer exists: {download_text(folder)}"


def download_text(folder: Path) -> str:
    """How to download what ``folder`` lacks, as a part of a message."""
    repository = cached_repository(folder)
    text = "download it again" + ("" if repository is None else f" with hf download {repository}")
    if unfinished := _unfinished_downloads(folder):
        text += f" ({unfinished[0]} is an unfinished download)"
    return text


def _unfinished_downloads(folder: Path) -> list[str]:
    """Files of interrupted downloads, in ``folder`` or where the hub's library keeps them."""
    names = sorted(path.name for path in folder.glob("*") if path.name.endswith(_UNFINISHED))
    elsewhere = [folder / ".cache" / "huggingface" / "download"]
    if cached_repository(folder):
        elsewhere.append(folder.parent.parent / "blobs")
    return names + [file.name for place in elsewhere for file in place.glob("*.incomplete")]


def cached_repository(folder: Path) -> str | None:
    """``owner/name`` of a folder in the hub's cache; None for other folders."""
    for part in reversed(folder.absolute().parts):
        if match := _CACHED.fullmatch(part):
            return match["repo"].replace("--", "/", 1)
    return None


def snapshot_folder(folder: Path) -> Path:
    """The snapshot that ``main`` means, for the folder of a repository in the hub's cache.

    Any other folder is returned as it is. Layout: ``huggingface_hub`` guides/manage-cache.

    Raises:
        ConvertError: the folder has no snapshot, or several and no ``refs/main``.
    """
    snapshots = folder / "snapshots"
    if (folder / "config.json").exists() or not snapshots.is_dir():
        return folder
    try:
        known = sorted(path.name for path in snapshots.iterdir() if path.is_dir())
        main = folder / "refs" / "main"
        commit = main.read_text("utf-8").strip() if main.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConvertError(f"{folder}: {error}") from error
    if commit in known:
        return snapshots / commit
    if not known:
        raise ConvertError(f"{folder} has no snapshot: {download_text(folder)}")
    if len(known) > 1:
        raise ConvertError(
            f"{folder} has {len(known)} snapshots, and none is main: give one of them, such as "
            f"{snapshots / known[0]}"
        )
    return snapshots / known[0]
