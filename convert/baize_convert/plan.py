"""The plan of a conversion: everything about the output but its weights, from headers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.adapter_tokenizers import choose_tokenizer, describe_unused_tokenizers
from baize_convert.lora.combination import vocabulary_size
from baize_convert.lora.fitting import describe_missing, fit_adapter
from baize_convert.opening import open_base
from baize_convert.output.chat_prompt import ChatPrompt, complete_prompt
from baize_convert.output.layout import Layout, build_layout
from baize_convert.output.merged_tensors import merged_tensors
from baize_convert.output.metadata import ModelDescription, add_metadata
from baize_convert.output.model_card import card_problem
from baize_convert.output.provenance import HashedFile, add_provenance
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.quantization.outtypes import Outtype
from baize_convert.quantization.tensor_types import tensor_types
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.config_rules import config_warnings
from baize_convert.sources.gguf_checkpoint import quantized_types
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.reading import read_vocabulary
from baize_convert.vocabulary.special_tokens import list_end_texts
from baize_convert.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True)
class ConversionOptions:
    """Options of a conversion, besides base, adapters and outtype."""

    imatrix: ImportanceMatrix | None = None
    pre: str | None = None
    """llama.cpp's name of the pre-tokenizer of a BPE; None detects it."""
    prompt: ChatPrompt = field(default_factory=ChatPrompt)
    strict: bool = False
    """Leave out all keys that llama.cpp does not write."""


@dataclass(frozen=True)
class Plan:
    """A conversion that can be carried out."""

    base: Checkpoint
    adapters: tuple[Adapter, ...]
    outtype: Outtype
    layout: Layout
    imatrix: ImportanceMatrix | None = None
    tokenizer: Path = Path()
    """The folder or GGUF file with the tokenizer: the base, or an adapter with its own."""
    vocabulary_hash: str = ""
    """Of the keys that decide how llama.cpp tokenizes."""
    pre: str | None = None
    """The pre-tokenizer that a person named, in spite of the files."""
    chat_template: str | None = None
    """The template that replaces the model's."""
    left_out: tuple[str, ...] = ()
    """The tokens of the tokenizer for which the model has no embedding."""
    ends: tuple[str, ...] = ()
    """The texts that end an answer; empty if the keys of a GGUF say it."""
    hashed: tuple[HashedFile, ...] = ()
    """The files whose hashes are inserted into the head at the end."""
    warnings: tuple[str, ...] = ()
    """Problems that do not prevent the conversion; a line each."""

    @property
    def sources(self) -> tuple[Checkpoint | Adapter, ...]:
        """The base and the adapters."""
        return (self.base, *self.adapters)


def plan_conversion(
    base_path: Path | str,
    adapters: Sequence[Adapter],
    outtype: Outtype,
    options: ConversionOptions = ConversionOptions(),
) -> Plan:
    """Plan the conversion of a base, with adapters merged into it, to ``outtype``.

    Raises:
        ConvertError: the base or an adapter cannot be converted; the message says why.
    """
    base = open_base(base_path)
    adapters = [fit_adapter(adapter, base.config) for adapter in adapters]
    tensors = merged_tensors(base, adapters)
    config = msgspec.structs.replace(base.config, vocab_size=vocabulary_size(base, adapters))
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    imatrix = options.imatrix
    if imatrix is not None:
        imatrix.check_shapes(shapes)
    types = tensor_types(shapes, outtype, config.shape, has_imatrix=imatrix is not None)
    tokenizer = choose_tokenizer(base.path, adapters)
    vocabulary = _read_vocabulary(base, adapters, tokenizer, config, options)
    description = ModelDescription(
        base=base,
        config=config,
        adapters=tuple(adapters),
        vocabulary=vocabulary,
        outtype=outtype,
        parameters=sum(tensor.rows * tensor.columns for tensor in tensors),
        chat_template=options.prompt.template,
    )
    writer = GGUFWriter(None, config.architecture.name)
    hashed = _add_keys(writer, description, options)
    return Plan(
        base=base,
        adapters=description.adapters,
        outtype=outtype,
        layout=build_layout(writer, tensors, types),
        imatrix=imatrix,
        tokenizer=tokenizer,
        vocabulary_hash=_hash_vocabulary(writer),
        pre=options.pre,
        chat_template=options.prompt.template,
        left_out=tuple(vocabulary.left_out) if vocabulary is not None else (),
        ends=(*options.prompt.stop, *list_end_texts(vocabulary)) if vocabulary is not None else (),
        hashed=hashed,
        warnings=(
            *(note for adapter in adapters for note in adapter.notes),
            *(line for adapter in adapters for line in describe_missing(adapter, base.config)),
            *describe_unused_tokenizers(adapters, tokenizer),
            *_warnings(base, shapes, imatrix, vocabulary),
        ),
    )


def _add_keys(
    writer: GGUFWriter, description: ModelDescription, options: ConversionOptions
) -> tuple[HashedFile, ...]:
    """Add all keys of the output; the files whose hashes are inserted at the end."""
    add_metadata(writer, description)
    if options.imatrix is not None:
        options.imatrix.add_keys(writer)
    if options.strict:
        return ()
    folders = [description.base.path, *(adapter.path for adapter in description.adapters)]
    complete_prompt(options.prompt, folders).add_keys(writer)
    return add_provenance(writer, description.base, description.adapters)


def _hash_vocabulary(writer: GGUFWriter) -> str:
    digest = hashlib.sha256()
    for keys in writer.kv_data:
        for name, value in keys.items():
            if name.startswith(("tokenizer.", "general.architecture", "general.name")):
                digest.update(f"{name} {value!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _warnings(
    base: Checkpoint,
    shapes: Mapping[str, tuple[int, ...]],
    imatrix: ImportanceMatrix | None,
    vocabulary: Vocabulary | None,
) -> Iterator[str]:
    yield from base.notes
    if base.gguf is None:
        yield from (f"{base.path}: {warning}" for warning in config_warnings(base.config))
        if (problem := card_problem(base.path)) is not None:
            yield problem
    if types := quantized_types(base):
        yield (
            f"{base.path} is quantized already ({', '.join(types)}), and lost precision with it: "
            "the model it was made from, in 16 bits, gives a better result"
        )
    if imatrix is not None and (uncovered := imatrix.uncovered_tensors(shapes)):
        yield f"{imatrix.path} lacks {len(uncovered)} tensors, {uncovered[0]} among them"
    if vocabulary is not None:
        yield from vocabulary.warnings


def _read_vocabulary(
    base: Checkpoint,
    adapters: Sequence[Adapter],
    tokenizer: Path,
    config: ModelConfig,
    options: ConversionOptions,
) -> Vocabulary | None:
    """The vocabulary in the folder ``tokenizer``; None if the keys of a GGUF base have it."""
    if not tokenizer.is_file():
        model_folder = base.path if base.gguf is None else tokenizer
        return read_vocabulary(
            tokenizer,
            config,
            options.pre,
            model_folder=model_folder,
            chat_template=options.prompt.template,
        )
    if config.vocab_size != base.config.vocab_size:
        raise ConvertError(
            f"{adapters[-1].path} has {config.vocab_size} tokens, but {base.path} has "
            f"{base.config.vocab_size}: put the tokenizer of the training beside the adapter"
        )
    return None
