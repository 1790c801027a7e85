"""The keys of the output, as llama.cpp's converter and quantizer write them."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
from gguf import GGUFWriter

from baize_convert.model_config import ModelConfig
from baize_convert.outtypes import Outtype
from baize_convert.vocabulary import Vocabulary

QUANTIZATION_VERSION = 2
"""``GGML_QNT_VERSION``."""


def add_metadata(
    writer: GGUFWriter,
    config: ModelConfig,
    vocabulary: Vocabulary,
    outtype: Outtype,
    *,
    name: str,
    parameters: int,
) -> None:
    """Add ``general.*``, ``llama.*`` and ``tokenizer.*`` (``TextModel.set_gguf_parameters``)."""
    writer.add_type("model")
    writer.add_name(name)
    writer.add_size_label(_size_label(parameters))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)
    _add_rope(writer, config)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_file_type(int(outtype.file_type))
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_quantization_version(QUANTIZATION_VERSION)
    _add_vocabulary(writer, vocabulary)


def model_name(folder: Path) -> str:
    """A name for people, from the folder's."""
    words = re.split(r"[-_\s]+", folder.resolve().name)
    return " ".join(word[:1].upper() + word[1:] for word in words if word) or "Model"


def _size_label(parameters: int) -> str:
    return gguf.size_label(parameters, 0, 0, 0)


def _add_rope(writer: GGUFWriter, config: ModelConfig) -> None:
    rope = config.rope
    kind, factor = rope.get("rope_type"), rope.get("factor")
    if kind in ("linear", "yarn") and factor is not None:
        scaling = gguf.RopeScalingType.LINEAR if kind == "linear" else gguf.RopeScalingType.YARN
        writer.add_rope_scaling_type(scaling)
        writer.add_rope_scaling_factor(factor)
        if kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(
                rope.get("original_max_position_embeddings", config.max_position_embeddings)
            )
    writer.add_rope_freq_base(float(rope["rope_theta"]))


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
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
