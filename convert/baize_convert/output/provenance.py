"""Keys that name and hash the files that were merged.

Hashing the base means reading all of it, which happens during the merge. So the head first contains
a placeholder for each hash, and is written again, with the same length, at the end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from gguf import GGUFWriter

from baize_convert.lora.adapter import Adapter
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.checkpoint import Checkpoint

KEY_PREFIX = "baize.convert."
_CHUNK = 4 << 20


@dataclass(frozen=True)
class HashedFile:
    """A file whose SHA-256 is a key of the output."""

    source: ByteSource

    @property
    def placeholder(self) -> str:
        """64 hexadecimal digits in place of the hash, which occur nowhere else."""
        return hashlib.sha256(os.fsencode(f"SHA-256 of {self.source.path}")).hexdigest()


def add_provenance(
    writer: GGUFWriter, base: Checkpoint, adapters: Sequence[Adapter]
) -> tuple[HashedFile, ...]:
    """Add the keys; the files whose placeholders ``insert_hashes`` replaces."""
    writer.add_string(f"{KEY_PREFIX}version", version("baize-tui"))
    writer.add_string(f"{KEY_PREFIX}llama_cpp_python", version("llama-cpp-python"))
    writer.add_string(f"{KEY_PREFIX}merge_dtype", "f32")
    if base.name is not None and base.commit is not None:
        writer.add_string(f"{KEY_PREFIX}base.repository", base.name)
        writer.add_string(f"{KEY_PREFIX}base.commit", base.commit)
    hashed = [HashedFile(file) for file in base.files]
    writer.add_array(f"{KEY_PREFIX}base.files", [file.source.path.name for file in hashed])
    writer.add_array(f"{KEY_PREFIX}base.sha256", [file.placeholder for file in hashed])
    for number, adapter in enumerate(adapters):
        key = f"{KEY_PREFIX}adapter.{number}"
        weights = HashedFile(adapter.files[-1])
        hashed.append(weights)
        writer.add_string(f"{key}.name", adapter.name)
        if adapter.commit is not None:
            writer.add_string(f"{key}.commit", adapter.commit)
        writer.add_string(f"{key}.sha256", weights.placeholder)
        writer.add_float32(f"{key}.weight", adapter.weight)
        if adapter.scales:
            writer.add_array(f"{key}.scales", adapter.scales)
    return tuple(hashed)


def insert_hashes(head: bytes, hashes: dict[HashedFile, str]) -> bytes:
    """``head`` with hashes in place of their placeholders."""
    for file, digest in hashes.items():
        head = head.replace(file.placeholder.encode(), digest.encode())
    return head


def compute_sha256(source: ByteSource, stop: Callable[[], bool] = lambda: False) -> str:
    """The SHA-256 of a file in hexadecimal digits; "" if ``stop`` returned True first."""
    if source.sha256 is not None:
        return source.sha256
    digest = hashlib.sha256()
    for start in range(0, len(source), _CHUNK):
        if stop():
            return ""
        size = min(_CHUNK, len(source) - start)
        digest.update(source.array(start, size).data)
        source.release(start, size)
    return digest.hexdigest()
