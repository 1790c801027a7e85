"""Where a file comes from: keys that name and hash what was merged, and how.

A hash of the base takes a reading of all of it, so the head is written with a place for each hash,
and again, of the same length, when they are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from gguf import GGUFWriter

from baize_convert.adapter import Adapter
from baize_convert.checkpoint import Checkpoint
from baize_convert.stored_tensors import ByteSource

PREFIX = "baize.convert."
_CHUNK = 4 << 20


@dataclass(frozen=True)
class Hashed:
    """A file whose SHA-256 will stand in the head, and what stands there until it is known."""

    source: ByteSource

    @property
    def placeholder(self) -> str:
        """64 hexadecimal digits that stand nowhere else."""
        return hashlib.sha256(f"SHA-256 of {self.source.path}".encode()).hexdigest()


def add_provenance(
    writer: GGUFWriter, base: Checkpoint, adapters: Sequence[Adapter]
) -> tuple[Hashed, ...]:
    """Add the keys; the files whose hashes have to be put in their places."""
    writer.add_string(f"{PREFIX}version", version("baize-tui"))
    writer.add_string(f"{PREFIX}llama_cpp_python", version("llama-cpp-python"))
    writer.add_string(f"{PREFIX}merge_dtype", "f32")
    if base.name is not None and base.commit is not None:
        writer.add_string(f"{PREFIX}base.repository", base.name)
        writer.add_string(f"{PREFIX}base.commit", base.commit)
    hashed = [Hashed(file) for file in base.files]
    writer.add_array(f"{PREFIX}base.files", [one.source.path.name for one in hashed])
    writer.add_array(f"{PREFIX}base.sha256", [one.placeholder for one in hashed])
    for number, adapter in enumerate(adapters):
        key = f"{PREFIX}adapter.{number}"
        weights = Hashed(adapter.files[-1])
        hashed.append(weights)
        scales = sorted({c.scale for c in adapter.changes.values() if c.a is not None})
        writer.add_string(f"{key}.name", adapter.name)
        if adapter.commit is not None:
            writer.add_string(f"{key}.commit", adapter.commit)
        writer.add_string(f"{key}.sha256", weights.placeholder)
        writer.add_float32(f"{key}.weight", adapter.weight)
        if scales:
            writer.add_array(f"{key}.scales", scales)
    return tuple(hashed)


def with_hashes(head: bytes, hashes: dict[Hashed, str]) -> bytes:
    """``head`` with every hash in its place."""
    for one, digest in hashes.items():
        head = head.replace(one.placeholder.encode(), digest.encode())
    return head


def sha256_of(source: ByteSource, stop: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a file, in hexadecimal digits; "" when ``stop`` said so before its end."""
    if source.sha256 is not None:
        return source.sha256
    digest = hashlib.sha256()
    for start in range(0, len(source), _CHUNK):
        if stop():
            return ""
        size = min(_CHUNK, len(source) - start)
        digest.update(source.array(start, size).data)
        source.drop(start, size)
    return digest.hexdigest()
