"""BD-LoRA: an A or B that is block-diagonal, of which only the blocks are stored.

Source: ``BlockDiagonalLinear`` and ``BdLoraLinearVariant`` of peft/tuners/lora/variants.py.
"""

from __future__ import annotations

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import ModuleChange
from baize_convert.lora.peft_config import BlockDiagonal
from baize_convert.sources.tensors import ArrayTensor, Tensor

_MOST_BLOCKS = 64
"""A block is for one processor; without a limit a small file could take all memory."""


def expand_blocks(change: ModuleChange, name: str, blocks: BlockDiagonal) -> None:
    """Replace the stored blocks of the module that PEFT calls ``name`` by the whole matrix.

    Raises:
        ConvertError: the rows do not divide into the blocks.
    """
    if change.a is not None and any(part in name for part in blocks.target_modules_bd_a or ()):
        change.a = _whole_matrix(change.a, blocks.nblocks, name)
    elif change.b is not None and any(part in name for part in blocks.target_modules_bd_b or ()):
        change.b = _whole_matrix(change.b, blocks.nblocks, name)


def _whole_matrix(stored: Tensor, count: int, name: str) -> ArrayTensor:
    """``stored`` [rows, columns / count], the blocks one below the other, as [rows, columns]."""
    if not 1 <= count <= _MOST_BLOCKS or len(stored.shape) != 2 or stored.rows % count:
        raise ConvertError(f"{name}: {list(stored.shape)} does not divide into {count} blocks")
    rows, columns = stored.rows // count, stored.columns
    whole = np.zeros((stored.rows, columns * count), np.float32)
    values = stored.read()
    for at in range(count):
        block = slice(at * rows, (at + 1) * rows)
        whole[block, at * columns : (at + 1) * columns] = values[block]
    return ArrayTensor(stored.name, stored.dtype, whole.shape, whole)
