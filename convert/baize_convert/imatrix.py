"""Importance matrices of llama.cpp: how much each column of a tensor matters to the output.

Both formats of llama-imatrix, read as ``common_imatrix_load`` (common/imatrix-loader.cpp) and
``load_imatrix`` (tools/quantize/quantize.cpp) do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.ggml import Float32
from baize_convert.gguf_file import gguf_tensors, read_gguf, value_of
from baize_convert.tensor_types import is_quantizable

_LONGEST_NAME, _MOST_ENTRIES = 4096, 1 << 16
_LONGEST_KEY = 127
"""Bytes; llama-quantize cuts its keys there."""


@dataclass(frozen=True)
class ImportanceMatrix:
    """``columns`` [in] of each tensor by its GGUF name, and what the file says of its origin."""

    path: Path
    columns: dict[str, Float32]
    chunks: int = 0
    dataset: str = ""

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Whether this is one of a model of these ``shapes``.

        Raises:
            ConvertError: it is not; the first tensor that does not fit is named.
        """
        for name, values in self.columns.items():
            if not np.isfinite(values).all():
                raise ConvertError(f"{self.path}: {name} holds NaN or infinity")
            # As llama-quantize: an embedding has rows that nothing multiplies.
            if name in shapes and len(values) != shapes[name][-1] and name != "token_embd.weight":
                raise ConvertError(
                    f"{self.path} is of another model: {name} has {len(values)} columns there, "
                    f"{shapes[name][-1]} here"
                )
        if not any(name in self.columns for name, shape in shapes.items() if len(shape) > 1):
            raise ConvertError(f"{self.path} is of another model: it names no tensor of this one")

    def missing(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Tensors in layers that it knows nothing of, and that are quantized without it."""
        return [
            name
            for name, shape in shapes.items()
            if name.startswith("blk.") and is_quantizable(name, shape) and name not in self.columns
        ]

    def of(self, name: str, columns: int) -> Float32 | None:
        """What to weigh the columns of a tensor with; None where nothing is known."""
        found = self.columns.get(name)
        return None if found is None or len(found) != columns else found

    def add_keys(self, writer: GGUFWriter) -> None:
        """The keys that llama-quantize adds; of the file its name alone."""
        writer.add_string("quantize.imatrix.file", _short(self.path.name))
        if self.dataset:
            writer.add_string("quantize.imatrix.dataset", _short(self.dataset))
        writer.add_uint32("quantize.imatrix.entries_count", len(self.columns))
        if self.chunks:
            writer.add_uint32("quantize.imatrix.chunks_count", self.chunks)


def _short(text: str) -> str:
    return text.encode()[:_LONGEST_KEY].decode("utf-8", "ignore")


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read the file at ``path``, whichever of the two formats it has.

    Raises:
        ConvertError: it has neither, or is damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    return _read_gguf(path) if magic == b"GGUF" else _read_legacy(path)


def _read_gguf(path: Path) -> ImportanceMatrix:
    reader = read_gguf(path)
    if value_of(reader, "general.type") != "imatrix":
        raise ConvertError(f"{path} is a GGUF file, but no importance matrix")
    tensors = gguf_tensors(path, reader)
    columns: dict[str, Float32] = {}
    for name, sums in tensors.items():
        module = name.removesuffix(".in_sum2")
        if module == name:
            continue
        counts = tensors.get(f"{module}.counts")
        if counts is None or counts.dtype != "F32" or sums.dtype != "F32":
            raise ConvertError(f"{path}: {module} has no counts to its sums")
        if counts.rows * counts.columns != 1:
            raise ConvertError(f"{path}: {module} is of a model with experts")
        count = np.float32(np.rint(counts.read()[0, 0]))
        values = sums.read().reshape(-1)
        with np.errstate(invalid="ignore"):
            columns[module] = values / count if count > 0 else np.ones_like(values)
    if not columns:
        raise ConvertError(f"{path}: the importance matrix is empty")
    datasets = value_of(reader, "imatrix.datasets") or [""]
    chunks = value_of(reader, "imatrix.chunk_count")
    return ImportanceMatrix(path, columns, int(chunks or 0), str(datasets[0]))


def _read_legacy(path: Path) -> ImportanceMatrix:
    raw = path.read_bytes()
    at = 0

    def number() -> int:
        nonlocal at
        (found,) = struct.unpack_from("<i", raw, at)
        at += 4
        return int(found)

    def text(longest: int) -> str:
        nonlocal at
        size = number()
        if not 0 <= size <= min(longest, len(raw) - at):
            raise ValueError("a name goes beyond the file")
        at += size
        return raw[at - size : at].decode()

    columns: dict[str, Float32] = {}
    try:
        entries = number()
        if not 0 < entries <= _MOST_ENTRIES:
            raise ValueError("no number of entries")
        for _ in range(entries):
            name, calls, count = text(_LONGEST_NAME), number(), number()
            if not 0 < count <= (len(raw) - at) // 4:
                raise ValueError("values go beyond the file")
            values = np.frombuffer(raw, "<f4", count, at).astype(np.float32)
            at += 4 * count
            with np.errstate(invalid="ignore"):  # ``check`` names what is no number
                columns[name] = values / np.float32(calls) if calls > 0 else values
        chunks = number() if len(raw) - at >= 4 else 0
        dataset = text(len(raw)) if len(raw) - at >= 4 else ""
    except (struct.error, ValueError) as error:
        raise ConvertError(f"{path}: not an importance matrix, or a damaged one") from error
    return ImportanceMatrix(path, columns, max(chunks, 0), dataset.rstrip("\0"))
