"""The keys of the output, as llama.cpp's converter and quantizer write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gguf
import yaml
from gguf import GGUFReader, GGUFWriter

from baize_convert.failures import ConvertError, reason
from baize_convert.lora.adapter import Adapter
from baize_convert.output.architecture_keys import add_architecture_keys
from baize_convert.output.model_card import load_metadata
from baize_convert.output.provenance import KEY_PREFIX
from baize_convert.output.vocabulary_keys import add_vocabulary_keys
from baize_convert.quantization.outtypes import Outtype
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.gguf_file import copy_key, read_text
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.titles import name_from_path, neutral_title, title, utf8_name
from baize_convert.vocabulary.vocabulary import Vocabulary

QUANTIZATION_VERSION = 2
"""``GGML_QNT_VERSION`` of llama.cpp."""
_FILE_KEYS = (
    "GGUF.",
    "split.",
    "quantize.imatrix.",
    "general.architecture",
    "general.quantization_version",
    "general.file_type",
    KEY_PREFIX,
)
"""Beginnings of keys that describe one file, and so are not copied to another."""


@dataclass(frozen=True)
class ModelDescription:
    """What the keys of the output are made from."""

    base: Checkpoint
    config: ModelConfig
    """The config of the output, whose vocabulary may have another size than the base's."""
    adapters: tuple[Adapter, ...]
    vocabulary: Vocabulary | None
    """None if the keys of a GGUF base have it."""
    outtype: Outtype
    parameters: int
    chat_template: str | None = None
    """Replaces the template of the model."""


def add_metadata(writer: GGUFWriter, model: ModelDescription) -> None:
    """Add ``general.*``, the keys of the architecture, and ``tokenizer.*``.

    Raises:
        ConvertError: the model card of the base, or a JSON file beside it, cannot be read.
    """
    base, vocabulary = model.base, model.vocabulary
    if base.gguf is None:
        writer.add_type("model")
        _general_metadata(base, model.adapters, model.parameters).set_gguf_meta_model(writer)
        add_architecture_keys(writer, model.config)
    else:
        _copy_keys(writer, base.gguf, _replaced_keys(model))
        if model.adapters:
            _add_lineage(writer, base, model.adapters)
            if model.config.architecture.like_llama:
                writer.add_vocab_size(model.config.vocab_size)
        if model.chat_template is not None and vocabulary is None:
            writer.add_chat_template(model.chat_template)
    if vocabulary is not None:
        template = model.chat_template or vocabulary.chat_template
        add_vocabulary_keys(writer, replace(vocabulary, chat_template=template))
    # llama-quantize adds these two last.
    writer.add_quantization_version(QUANTIZATION_VERSION)
    writer.add_file_type(int(model.outtype.file_type))


def _replaced_keys(model: ModelDescription) -> tuple[str, ...]:
    """Beginnings of the keys that are not copied from a GGUF base."""
    beginnings, architecture = list(_FILE_KEYS), model.config.architecture
    if model.adapters:
        beginnings += ["general.name", "general.base_model.", f"{architecture.name}.vocab_size"]
    if model.vocabulary is not None:
        beginnings.append("tokenizer.")
    elif model.chat_template is not None:
        beginnings.append("tokenizer.chat_template")
    return tuple(beginnings)


def _copy_keys(writer: GGUFWriter, reader: GGUFReader, replaced: tuple[str, ...]) -> None:
    for name, field in reader.fields.items():
        if not name.startswith(replaced):
            copy_key(writer, field)


def _add_lineage(writer: GGUFWriter, base: Checkpoint, adapters: Sequence[Adapter]) -> None:
    assert base.gguf is not None
    writer.add_name(neutral_title(_merged_title(adapters)))
    writer.add_base_model_count(1)
    writer.add_base_model_name(
        0, read_text(base.gguf, "general.name") or title(name_from_path(base.path))
    )


def _general_metadata(
    base: Checkpoint, adapters: Sequence[Adapter], parameters: int
) -> gguf.Metadata:
    """Name, licence and origin from the model card; a merge has the names of its adapters.

    Raises:
        ConvertError: the card or a JSON file beside it cannot be read.
    """
    folder = base.path.resolve()
    try:
        metadata = load_metadata(folder, parameters)
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError),
        yaml.YAMLError,
    ) as error:
        raise ConvertError(
            f"{folder}: its model card or config cannot be read: {reason(error)}"
        ) from error
    if base.name is not None:
        owner, _, name = base.name.rpartition("/")
        metadata.name = title(name)
        metadata.organization = metadata.organization or (title(owner) if owner else None)
    metadata.name = metadata.name or utf8_name(folder.name) or "Model"
    if metadata.size_label is None:
        metadata.size_label = gguf.size_label(parameters, 0, 0, 0)
    if adapters:
        lineage = {"name": metadata.name}
        if metadata.organization is not None:
            lineage["organization"] = metadata.organization
        if metadata.repo_url is not None:
            lineage["repo_url"] = metadata.repo_url
        metadata.base_models = [lineage]
        metadata.name = _merged_title(adapters)
    metadata.name = neutral_title(metadata.name)
    return metadata


def _merged_title(adapters: Sequence[Adapter]) -> str:
    return " + ".join(title(adapter.name) for adapter in adapters)
