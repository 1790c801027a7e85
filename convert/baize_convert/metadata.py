"""The keys of the output, as llama.cpp's converter and quantizer write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import gguf
import yaml
from gguf import GGUFReader, GGUFWriter

from baize_convert.adapter import Adapter, name_of
from baize_convert.architectures import LLAMA
from baize_convert.checkpoint import Checkpoint
from baize_convert.failures import ConvertError
from baize_convert.gguf_file import copy_key, value_of
from baize_convert.model_config import ModelConfig
from baize_convert.outtypes import Outtype
from baize_convert.provenance import PREFIX
from baize_convert.vocabulary import Vocabulary

QUANTIZATION_VERSION = 2
"""``GGML_QNT_VERSION``."""
_OWN_KEYS = (
    "GGUF.",
    "split.",
    "quantize.imatrix.",
    "general.architecture",
    "general.quantization_version",
    "general.file_type",
    PREFIX,
)
"""Keys that are of one file, and not taken from it to the next."""


def add_metadata(
    writer: GGUFWriter,
    base: Checkpoint,
    config: ModelConfig,
    adapters: Sequence[Adapter],
    vocabulary: Vocabulary | None,
    outtype: Outtype,
    *,
    parameters: int,
    chat_template: str | None = None,
) -> None:
    """Add ``general.*``, the keys of the architecture, and ``tokenizer.*``.

    ``config`` is that of the output, ``vocabulary`` None where the keys of a GGUF base tell it.
    ``chat_template`` takes the place of the one that the model has.
    """
    if base.gguf is None:
        writer.add_type("model")
        _general(base, adapters, parameters).set_gguf_meta_model(writer)
        add_model(writer, config)
    else:
        _copy_keys(writer, base.gguf, _replaced(adapters, vocabulary, chat_template))
        if adapters:
            _add_lineage(writer, base, adapters)
            if config.architecture.tells_head_size:
                writer.add_vocab_size(config.vocab_size)
        if chat_template is not None and vocabulary is None:
            writer.add_chat_template(chat_template)
    if vocabulary is not None:
        vocabulary.chat_template = chat_template or vocabulary.chat_template
        add_vocabulary(writer, vocabulary)
    # llama-quantize adds these two last.
    writer.add_quantization_version(QUANTIZATION_VERSION)
    writer.add_file_type(int(outtype.file_type))


def _replaced(
    adapters: Sequence[Adapter],
    vocabulary: Vocabulary | None,
    chat_template: str | None,
) -> tuple[str, ...]:
    """Beginnings of the keys of a GGUF base that the output has otherwise."""
    found = list(_OWN_KEYS)
    if adapters:
        found += ["general.name", "general.base_model.", f"{LLAMA.name}.vocab_size"]
    if vocabulary is not None:
        found.append("tokenizer.")
    elif chat_template is not None:
        found.append("tokenizer.chat_template")
    return tuple(found)


def _copy_keys(writer: GGUFWriter, reader: GGUFReader, replaced: tuple[str, ...]) -> None:
    for name, found in reader.fields.items():
        if not name.startswith(replaced):
            copy_key(writer, found)


def _add_lineage(writer: GGUFWriter, base: Checkpoint, adapters: Sequence[Adapter]) -> None:
    assert base.gguf is not None
    writer.add_name(_name(adapters))
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, value_of(base.gguf, "general.name") or title(name_of(base.path)))


def add_model(writer: GGUFWriter, config: ModelConfig) -> None:
    """Sizes and RoPE, as ``TextModel.set_gguf_parameters`` of llama.cpp's converter."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)
    _add_rope(writer, config)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    kind = config.architecture
    if kind.tells_head_size or kind.head_size is not None or config.head_dim is not None:
        writer.add_key_length(config.head_size)
        writer.add_value_length(config.head_size)
    if kind.tells_head_size:
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.head_size)


def _general(base: Checkpoint, adapters: Sequence[Adapter], parameters: int) -> gguf.Metadata:
    """What the model's card and folder say; a merge has its adapter's name and the base's lineage.

    Raises:
        ConvertError: the card or a JSON file beside it cannot be read.
    """
    folder = base.path.resolve()
    try:
        found = gguf.Metadata.load(None, folder, None, parameters)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise ConvertError(f"{folder}: its model card or config cannot be read: {why}") from error
    if base.name is not None:
        owner, _, name = base.name.partition("/")
        found.name, found.organization = title(name), found.organization or title(owner)
    found.name = found.name or folder.name or "Model"
    if found.size_label is None:
        found.size_label = gguf.size_label(parameters, 0, 0, 0)
    if adapters:
        lineage = {"name": found.name}
        if found.organization is not None:
            lineage["organization"] = found.organization
        if found.repo_url is not None:
            lineage["repo_url"] = found.repo_url
        found.base_models = [lineage]
        found.name = _name(adapters)
    return found


def _name(adapters: Sequence[Adapter]) -> str:
    return " + ".join(title(adapter.name) for adapter in adapters)


def title(name: str) -> str:
    """A name for people, from that of a folder, a file or a repository."""
    words = re.split(r"[-_\s]+", name)
    return " ".join(word[:1].upper() + word[1:] for word in words if word) or "Model"


def _add_rope(writer: GGUFWriter, config: ModelConfig) -> None:
    rope = config.rope
    if rope.rope_type in ("linear", "yarn") and rope.factor is not None:
        yarn = rope.rope_type == "yarn"
        writer.add_rope_scaling_type(
            gguf.RopeScalingType.YARN if yarn else gguf.RopeScalingType.LINEAR
        )
        writer.add_rope_scaling_factor(rope.factor)
        if yarn:
            length = rope.original_max_position_embeddings or config.max_position_embeddings
            writer.add_rope_scaling_orig_ctx_len(length)
            for value, add in (
                (rope.extrapolation_factor, writer.add_rope_scaling_yarn_ext_factor),
                (rope.attention_factor, writer.add_rope_scaling_yarn_attn_factor),
                (rope.beta_fast, writer.add_rope_scaling_yarn_beta_fast),
                (rope.beta_slow, writer.add_rope_scaling_yarn_beta_slow),
            ):
                if value is not None:
                    add(value)
    assert rope.rope_theta is not None
    writer.add_rope_freq_base(rope.rope_theta)


def add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Add ``tokenizer.*``, the chat template among them."""
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for kind, id in vocabulary.special_ids.items():
        add_id = getattr(writer, f"add_{kind}_token_id", None)
        if add_id is not None:
            add_id(id)
    for kind, value in vocabulary.add_special.items():
        add_flag = getattr(writer, f"add_add_{kind}_token", None)
        if add_flag is not None:
            add_flag(value)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)
    for kind, value in vocabulary.forced.items():
        getattr(writer, f"add_add_{kind}_token")(value)
