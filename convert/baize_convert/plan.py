"""What a conversion will write, from headers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.combination import vocabulary_size
from baize_convert.lora.fitting import fit_adapter
from baize_convert.opening import open_base
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.output.layout import Layout, build_layout
from baize_convert.output.merged_tensors import merged_tensors
from baize_convert.output.metadata import add_metadata
from baize_convert.output.provenance import HashedFile, add_provenance
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.quantization.outtypes import Outtype
from baize_convert.quantization.tensor_types import tensor_types
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.gguf_checkpoint import quantized_types
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.reading import read_vocabulary
from baize_convert.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True)
class Plan:
    """A conversion that can be carried out."""

    base: Checkpoint
    adapters: tuple[Adapter, ...]
    outtype: Outtype
    layout: Layout
    imatrix: ImportanceMatrix | None = None
    tokenizer: Path = Path()
    """Where the tokenizer is from: the base, or an adapter that brings its own."""
    hashed: tuple[HashedFile, ...] = ()
    """Files whose hashes stand in the head when all is done."""
    warnings: tuple[str, ...] = ()
    """What is right but not what one would wish for; a line each."""


def plan_conversion(
    base_path: Path | str,
    adapters: Sequence[Adapter],
    outtype: Outtype,
    *,
    imatrix: ImportanceMatrix | None = None,
    pre: str | None = None,
    prompt: ChatPrompt | None = None,
    strict: bool = False,
) -> Plan:
    """Everything about the output but its weights.

    ``pre`` names the pre-tokenizer of a BPE; ``strict`` adds no key that llama.cpp does not write.

    Raises:
        ConvertError: the base or an adapter cannot be converted; the message says why.
    """
    base = open_base(base_path)
    adapters = [fit_adapter(adapter, base.config) for adapter in adapters]
    tensors = merged_tensors(base, adapters)
    config = msgspec.structs.replace(base.config, vocab_size=vocabulary_size(base, adapters))
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    if imatrix is not None:
        imatrix.check(shapes)
    types = tensor_types(shapes, outtype, config.shape, has_imatrix=imatrix is not None)
    tokenizer = _tokenizer(base, adapters)
    vocabulary = _vocabulary(base, tokenizer, config, pre)
    if vocabulary is None and config.vocab_size != base.config.vocab_size:
        raise ConvertError(
            f"{adapters[-1].path} has {config.vocab_size} tokens and {base.path} names "
            f"{base.config.vocab_size}: put the tokenizer of the training beside the adapter"
        )
    prompt = prompt or ChatPrompt()
    writer = GGUFWriter(None, config.architecture.name)
    add_metadata(
        writer,
        base,
        config,
        adapters,
        vocabulary,
        outtype,
        chat_template=prompt.template,
        parameters=sum(tensor.rows * tensor.columns for tensor in tensors),
    )
    if imatrix is not None:
        imatrix.add_keys(writer)
    hashed: tuple[HashedFile, ...] = ()
    if not strict:
        prompt.add_keys(writer)
        hashed = add_provenance(writer, base, adapters)
    layout = build_layout(writer, tensors, types)
    warnings = (
        *_warnings(base, shapes, imatrix),
        *(vocabulary.warnings if vocabulary is not None else ()),
    )
    return Plan(
        base=base,
        adapters=tuple(adapters),
        outtype=outtype,
        layout=layout,
        imatrix=imatrix,
        tokenizer=tokenizer,
        hashed=hashed,
        warnings=warnings,
    )


def _warnings(
    base: Checkpoint, shapes: dict[str, tuple[int, ...]], imatrix: ImportanceMatrix | None
) -> Iterator[str]:
    if types := quantized_types(base):
        yield (
            f"{base.path} is quantized already ({', '.join(types)}): what that lost stays lost; "
            "the model it was made from, in 16 bits, gives a better result"
        )
    if imatrix is not None and (missing := imatrix.missing(shapes)):
        yield f"{imatrix.path} knows nothing of {len(missing)} tensors, {missing[0]} among them"


def _tokenizer(base: Checkpoint, adapters: Sequence[Adapter]) -> Path:
    """Where the tokenizer is from: training may have added tokens, and then saves it along."""
    for adapter in reversed(adapters):
        for name in ("tokenizer.json", "tokenizer.model"):
            if (adapter.path / name).is_file():
                return adapter.path
    return base.path


def _vocabulary(
    base: Checkpoint, tokenizer: Path, config: ModelConfig, pre: str | None
) -> Vocabulary | None:
    """The vocabulary in the folder ``tokenizer``; None where it is that of a GGUF base."""
    if tokenizer.is_file():
        return None
    folder = base.path if base.gguf is None else tokenizer
    return read_vocabulary(tokenizer, config, pre, model_folder=folder)
