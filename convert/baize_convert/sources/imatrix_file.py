"""Files of llama-imatrix, in both of its formats.

Read as ``common_imatrix_load`` (common/imatrix-loader.cpp) and ``load_imatrix``
(tools/quantize/quantize.cpp) of llama.cpp do.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.sources.gguf_file import gguf_tensors, read_gguf, read_integer, read_value
from baize_shared.regular_files import open_regular

_LONGEST_NAME, _MOST_ENTRIES = 4096, 1 << 16
_LARGEST_LEGACY = 128 << 20
"""Bytes of a file in the older format, which is read whole; that of a 70B model has 26 MB."""


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read an importance matrix, in either format.

    Raises:
        ConvertError: the file has neither format, or is damaged.
    """
    try:
        with open_regular(path) as file:
            magic = file.read(4)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    if magic == b"GGUF":
        return _read_gguf(path)
    if size > _LARGEST_LEGACY:
        raise ConvertError(f"{path} is too large for an importance matrix")
    return _read_legacy(path)


def _read_gguf(path: Path) -> ImportanceMatrix:
    reader = read_gguf(path)
    if read_value(reader, "general.type") != "imatrix":
        raise ConvertError(f"{path} is a GGUF file, but not an importance matrix")
    tensors = gguf_tensors(path, reader)
    columns: dict[str, Float32] = {}
    for name, sums in tensors.items():
        module = name.removesuffix(".in_sum2")
        if module == name:
            continue
        counts = tensors.get(f"{module}.counts")
        if counts is None or counts.dtype != "F32" or sums.dtype != "F32":
            raise ConvertError(f"{path}: {module} has sums but no counts")
        if counts.rows * counts.columns != 1:
            raise ConvertError(
                f"{path}: {module} belongs to a model with experts, which is not supported"
            )
        count = np.float32(np.rint(counts.read()[0, 0]))
        values = sums.read().reshape(-1)
        with np.errstate(invalid="ignore"):
            columns[module] = values / count if count > 0 else np.ones_like(values)
    if not columns:
        raise ConvertError(f"{path}: the importance matrix is empty")
    datasets = read_value(reader, "imatrix.datasets") or [""]
    chunks = read_integer(reader, "imatrix.chunk_count") or 0
    dataset = str(datasets[0]) if isinstance(datasets, list) else ""
    return ImportanceMatrix(path, columns, chunks if 0 < chunks < 2**31 else 0, dataset)


def _read_legacy(path: Path) -> ImportanceMatrix:
    raw = path.read_bytes()
    at = 0

    def number() -> int:
        nonlocal at
        (value,) = struct.unpack_from("<i", raw, at)
        at += 4
        return int(value)

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
            with np.errstate(invalid="ignore"):  # ``check_shapes`` reports NaN
                columns[name] = values / np.float32(calls) if calls > 0 else values
        chunks = number() if len(raw) - at >= 4 else 0
        dataset = text(len(raw)) if len(raw) - at >= 4 else ""
    except (struct.error, ValueError) as error:
        raise ConvertError(f"{path}: not an importance matrix, or damaged") from error
    return ImportanceMatrix(path, columns, max(chunks, 0), dataset.rstrip("\0"))
