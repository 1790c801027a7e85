"""Repositories on the Hugging Face hub, each pinned to one commit.

Small files are downloaded into the hub's cache. Weights are read by byte ranges, or from that cache
if they are there already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from baize_convert.hub.cached_file import CachedFile
from baize_convert.hub.errors import translate_hub_errors
from baize_convert.hub.names import HubName
from baize_convert.hub.range_file import RangeFile
from baize_convert.hub.requests import HubFile
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.remote_files import RemoteFiles

_SMALL_FILES = ["*.json", "*.model", "*.jinja", "*.md", "*.txt"]


class HubRepository:
    """A repository at one commit; its small files are in ``folder``, all names in ``files``."""

    def __init__(self, name: HubName, commit: str, folder: Path, files: frozenset[str]) -> None:
        self.name, self.commit, self.folder, self.files = name, commit, folder, files

    @property
    def label(self) -> str:
        return self.name.repo

    def file(self, name: str) -> HubFile:
        return HubFile(self.name, self.commit, name)

    def has(self, file: str) -> bool:
        return file in self.files

    def open(self, file: str) -> ByteSource:
        """Open a file to read parts of it: from the hub's cache if it is there, else from the hub.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        cached = self.cached(file)
        return RangeFile(self.file(file)) if cached is None else cached

    def cached(self, file: str) -> CachedFile | None:
        """The file in the hub's cache; None if it is not there."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(self.name.repo, file, revision=self.commit)
        return CachedFile(self.file(file), Path(path)) if isinstance(path, str) else None

    def subfolder(self, folder: str) -> RemoteFiles:
        """The files in a folder of the repository; all files if ``folder`` is empty."""
        return _Subfolder(self, folder) if folder else self


@dataclass(frozen=True)
class _Subfolder:
    """The files in a folder of a repository, by their names in it."""

    repository: HubRepository
    folder: str

    @property
    def label(self) -> str:
        return self.repository.label

    @property
    def commit(self) -> str:
        return self.repository.commit

    def has(self, file: str) -> bool:
        return self.repository.has(f"{self.folder}/{file}")

    def open(self, file: str) -> ByteSource:
        return self.repository.open(f"{self.folder}/{file}")


def open_repository(name: HubName) -> HubRepository:
    """Pin ``name`` to its current commit, and download its small files into the hub's cache.

    A folder in ``name`` is not looked at.

    Raises:
        ConvertError: no such repository, it is gated or private, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    name = replace(name, subfolder="")
    with translate_hub_errors(name):
        if constants.HF_HUB_OFFLINE:
            folder = Path(snapshot_download(name.repo, revision=name.revision))
            files = frozenset(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
            return HubRepository(name, folder.name, folder, files)
        # By revision, not by commit: the cache then resolves the revision without a network too.
        folder = Path(
            snapshot_download(name.repo, revision=name.revision, allow_patterns=_SMALL_FILES)
        )
        info = HfApi().model_info(name.repo, revision=folder.name)
        files = frozenset(sibling.rfilename for sibling in info.siblings or [])
    return HubRepository(name, folder.name, folder, files)
