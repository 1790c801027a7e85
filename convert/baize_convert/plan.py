"""What a conversion will write, from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from gguf import GGUFWriter

from baize_convert.adapter import Adapter
from baize_convert.checkpoint import Checkpoint, open_checkpoint
from baize_convert.layout import Layout, lay_out
from baize_convert.merged_tensors import merged_tensors, vocabulary_size
from baize_convert.metadata import add_metadata, model_name
from baize_convert.outtypes import Outtype
from baize_convert.tensor_types import tensor_types
from baize_convert.vocabulary import read_vocabulary


@dataclass(frozen=True)
class Plan:
    """A conversion that can be carried out."""

    base: Checkpoint
    adapters: tuple[Adapter, ...]
    outtype: Outtype
    layout: Layout


def plan_conversion(
    folder: Path, adapters: Sequence[Adapter], outtype: Outtype, *, pre: str | None = None
) -> Plan:
    """Everything about the output but its weights.

    Raises:
        ConvertError: the base or an adapter cannot be converted; the message says why.
    """
    base = open_checkpoint(folder)
    tensors = merged_tensors(base, adapters)
    config = msgspec.structs.replace(base.config, vocab_size=vocabulary_size(base, adapters))
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    types = tensor_types(shapes, outtype, base.config.shape)
    writer = GGUFWriter(None, "llama")
    add_metadata(
        writer,
        config,
        read_vocabulary(_tokenizer_folder(base, adapters), config, pre),
        outtype,
        name=model_name(folder),
        parameters=sum(tensor.rows * tensor.columns for tensor in tensors),
    )
    return Plan(base, tuple(adapters), outtype, lay_out(writer, tensors, types))


def _tokenizer_folder(base: Checkpoint, adapters: Sequence[Adapter]) -> Path:
    """Where the tokenizer lies: training may have added tokens, and then saves it along."""
    for adapter in reversed(adapters):
        for name in ("tokenizer.json", "tokenizer.model"):
            if (adapter.folder / name).is_file():
                return adapter.folder
    return base.folder
