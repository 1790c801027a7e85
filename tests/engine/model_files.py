"""GGUF files that are broken in one way each, made from the real model's bytes."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def write(folder: Path, name: str, content: bytes) -> Path:
    file = folder / f"{name}.gguf"
    file.write_bytes(content)
    return file


def pipe(folder: Path, name: str) -> Path:
    """A pipe that nobody writes to."""
    file = folder / f"{name}.gguf"
    os.mkfifo(file)
    return file


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def header(*, tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def key(name: str, value: str) -> bytes:
    """A key with a string value (type 8)."""
    return string(name) + struct.pack("<I", 8) + string(value)


def broken_files(folder: Path, real: Path) -> dict[str, tuple[Path, str]]:
    """Name of the defect to the file and what its message must say."""
    whole = real.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "text": (write(folder, "text", b"hello, I am no model\n" * 9), "not a GGUF"),
        "empty": (write(folder, "empty", b""), "is empty"),
        "pipe": (pipe(folder, "pipe"), "not a regular file"),
        "short": (write(folder, "short", whole[:12]), "cut short"),
        "in header": (write(folder, "in-header", whole[:50_000]), "cut short"),
        "in weights": (write(folder, "in-weights", whole[: len(whole) // 2]), "cut short: tensor"),
        "one byte": (write(folder, "one-byte", whole[:-1]), "cut short: tensor"),
        "tensors": (write(folder, "tensors", header(tensors=2**60) + b"x" * 999), "claims"),
        "keys": (write(folder, "keys", header(keys=2**63) + b"x" * 999), "claims"),
        "long key": (
            write(folder, "long-key", header(keys=1) + struct.pack("<Q", 2**60) + b"x" * 99),
            "damaged",
        ),
        "version": (write(folder, "version", header(version=99) + b"x" * 99), "version 99"),
        "architecture": (
            write(
                folder,
                "architecture",
                header(keys=1) + key("general.architecture", "flux-capacitor") + b"\x00" * 64,
            ),
            "flux-capacitor",
        ),
    }
