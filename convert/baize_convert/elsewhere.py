"""Files of a folder that are not in it."""

from __future__ import annotations

from typing import Protocol

from baize_convert.stored_tensors import ByteSource


class Elsewhere(Protocol):
    """Where the weights of a folder are that are not in it."""

    @property
    def label(self) -> str:
        """``owner/name``."""

    @property
    def commit(self) -> str: ...

    def has(self, file: str) -> bool: ...

    def open(self, file: str) -> ByteSource: ...
