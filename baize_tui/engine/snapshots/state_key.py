"""What the state of a KV cache depends on, besides its tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_tui.engine.machine_cache import MachineKey
from baize_tui.settings import KvType
from baize_tui.translation import msg

_HEAD_BYTES = 1 << 20


class FileIdentity(Struct, frozen=True):
    """A GGUF file that has not changed; to hash all of it would take longer than a prompt."""

    bytes: int
    mtime_ns: int
    ctime_ns: int
    """When its content or its name changed. ``cp -p``, rsync and unpacked archives set the other
    time, and the first MiB of two models of one family is often the same."""
    head: str
    """Digest of its first MiB, with the metadata."""


class AdapterIdentity(Struct, frozen=True):
    """An adapter, and how strongly it is applied."""

    file: FileIdentity
    scale: float


class StateKey(Struct, frozen=True):
    """Two states with the same key and the same tokens are the same."""

    machine: MachineKey
    """The llama.cpp library, the processor, and the backend."""
    model: tuple[FileIdentity, ...]
    """Its files: one, or all parts of a split model."""
    tokenizer: str
    n_ctx: int
    kv_type: KvType
    flash_attention: bool
    gpu_layers: int
    adapters: tuple[AdapterIdentity, ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits, for file names."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=8).hexdigest()

    def difference(self, other: StateKey) -> str:
        """What is different in ``other``, for a person; empty if both are equal."""
        if self == other:
            return ""
        if self.machine != other.machine:
            return msg("another llama.cpp, processor or GPU")
        if self.model != other.model or self.tokenizer != other.tokenizer:
            return msg("another model file")
        if self.adapters != other.adapters:
            return msg("other adapters or scales")
        return msg("other settings of the model")


def file_identity(path: Path) -> FileIdentity:
    """The identity of ``path`` now.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = hashlib.blake2b(file.read(_HEAD_BYTES), digest_size=16).hexdigest()
    status = path.stat()
    return FileIdentity(status.st_size, status.st_mtime_ns, status.st_ctime_ns, head)
