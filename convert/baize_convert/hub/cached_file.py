"""Files in the hub's cache."""

from __future__ import annotations

from pathlib import Path

from baize_convert.hub.requests import SHA256, HubFile
from baize_convert.sources.byte_source import MappedFile


class CachedFile(MappedFile):
    """A complete file of a repository; the cache names it by its hash."""

    def __init__(self, file: HubFile, path: Path) -> None:
        super().__init__(path)
        blob = path.resolve().name
        self.sha256 = blob if SHA256.fullmatch(blob) else None
        self._identity = file.identity(blob)

    @property
    def identity(self) -> str:
        return self._identity
