"""The reader of the gguf package, with bounds that it does not have.

It makes several objects for each item of an array, so that the vocabulary of a damaged header takes
all memory. Here an array stays one range of the mapped file until its key is read.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, ReaderField
from numpy.typing import NDArray

logging.getLogger("gguf").setLevel(logging.CRITICAL)
"""The package logs whatever it finds odd in a file, in lines that say nothing to the person."""
_MOST_ENTRIES = 1 << 14
"""Limit of keys, and of tensors; a model of 512 layers has 7,700."""
_MOST_ITEMS = 1 << 21
"""Limit of the items of all arrays; a vocabulary of 262,144 tokens with merges has 1.3 million."""
_MOST_TEXT = 64 << 20
"""Limit of the bytes of all texts."""
_LONGEST_NAME = 1024
"""Bytes of a key, or of the name of a tensor; llama.cpp's own limit for names is 64."""
_MOST_DIMENSIONS = 4


class BoundedReader(GGUFReader):
    """Reads a header in bounded time and memory, whatever counts and lengths it has.

    The parts of an array's field are its type, its length and its bytes: see ``array_items``.
    """

    _items = _text = 0

    def _get(
        self, offset: int, dtype: Any, count: int = 1, override_order: Any = None
    ) -> NDArray[Any]:
        if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise IndexError("beyond the file")
        if self.byte_order == "S":
            raise ValueError("it is big-endian")
        values: NDArray[Any] = super()._get(offset, dtype, count, override_order)
        return values

    def _get_str(self, offset: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        length = self._get(offset, np.uint64)
        self._count_text(int(length[0]))
        return length, self._get(offset + 8, np.uint8, length[0])

    def _count_text(self, length: int) -> None:
        self._text += length
        if self._text > _MOST_TEXT:
            raise ValueError("its texts are too long")

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        raw_inner, length = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
        inner, count = GGUFValueType(raw_inner[0]), int(length[0])
        self._items += count
        if self._items > _MOST_ITEMS:
            raise ValueError("its arrays are too long")
        start = orig_offs + 12
        if inner == GGUFValueType.STRING:
            size = self._texts_size(start, count)
        elif inner in self.gguf_scalar_to_np:
            size = count * np.dtype(self.gguf_scalar_to_np[inner]).itemsize
        else:
            raise ValueError("an array of arrays")
        parts = [raw_inner, length, self._get(start, np.uint8, size)]
        return 12 + size, parts, [2], [GGUFValueType.ARRAY, inner]

    def _texts_size(self, start: int, count: int) -> int:
        """The bytes of ``count`` texts with their lengths."""
        raw, at = memoryview(self.data), start  # type: ignore[arg-type]
        for _ in range(count):
            length = int.from_bytes(raw[at : at + 8], "little")
            self._count_text(length)
            at += 8 + length
            if at > len(raw):
                raise IndexError("beyond the file")
        return at - start

    def _get_tensor_info_field(self, orig_offs: int) -> ReaderField:
        length = int(self._get(orig_offs, np.uint64)[0])
        if length > _LONGEST_NAME:
            raise ValueError("the name of a tensor is too long")
        if self._get(orig_offs + 8 + length, np.uint32)[0] > _MOST_DIMENSIONS:
            raise ValueError("a tensor has too many dimensions")
        return super()._get_tensor_info_field(orig_offs)

    def _build_fields(self, offs: int, count: int) -> int:
        if count > _MOST_ENTRIES:
            raise ValueError("too many keys")
        end = int(super()._build_fields(offs, count))
        if any(len(name) > _LONGEST_NAME for name in self.fields):
            raise ValueError("a key is too long")
        return end

    def _build_tensor_info(self, offs: int, count: int) -> Any:
        if count > _MOST_ENTRIES:
            raise ValueError("too many tensors")
        return super()._build_tensor_info(offs, count)


def array_items(field: ReaderField) -> list[Any]:
    """The items of an array; texts as bytes, because they may not be UTF-8."""
    raw, inner = bytes(field.parts[field.data[0]]), field.types[-1]
    if inner != GGUFValueType.STRING:
        values: list[Any] = np.frombuffer(raw, GGUFReader.gguf_scalar_to_np[inner]).tolist()
        return values
    items, at = [], 0
    while at < len(raw):
        end = at + 8 + int.from_bytes(raw[at : at + 8], "little")
        items.append(raw[at + 8 : end])
        at = end
    return items
