"""Weights that a local snapshot of a repository lacks."""

from __future__ import annotations

from typing import Protocol

from baize_convert.sources.byte_source import ByteSource


class RemoteFiles(Protocol):
    """The files of a repository, of which a folder has only the small ones."""

    @property
    def label(self) -> str:
        """``owner/name``."""

    @property
    def commit(self) -> str: ...

    @property
    def files(self) -> frozenset[str]:
        """The names of all of them."""

    def has(self, file: str) -> bool: ...

    def open(self, file: str) -> ByteSource: ...
