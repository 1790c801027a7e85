"""The real SmolLM2 as a Hugging Face folder, made from the GGUF file of the extra [demo].

No PyTorch is needed: weights are dequantized by ggml, q and k get their rows back in
Hugging Face's order, and the tokenizer is written from the vocabulary and merges in the file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from baize_convert.sources.gguf_file import gguf_tensors, read_gguf, read_value

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3


def unpermuted(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of heads in the order of Hugging Face."""
    count, columns = rows.shape
    halves = rows.reshape(heads, count // heads // 2, 2, columns).swapaxes(1, 2)
    return halves.reshape(count, columns)


def make_folder(gguf_file: Path, folder: Path) -> Path:
    """Write config, tokenizer and two shards in float16."""
    folder.mkdir(parents=True)
    reader = read_gguf(gguf_file)

    def value(key: str) -> Any:
        return read_value(reader, key)

    heads, kv_heads = value("llama.attention.head_count"), value("llama.attention.head_count_kv")
    tensors: dict[str, NDArray[Any]] = {}
    for stored in gguf_tensors(gguf_file, reader).values():
        weights = stored.read().reshape(stored.shape).astype(np.float16)
        parts = stored.name.split(".")
        if parts[0] == "blk":
            name = f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"
            if parts[2] in ("attn_q", "attn_k"):
                weights = unpermuted(weights, heads if parts[2] == "attn_q" else kv_heads)
        else:
            name = f"{NAMES[parts[0]]}.weight"
        if name != "lm_head.weight":  # tied
            tensors[name] = np.ascontiguousarray(weights)
    names = sorted(tensors)
    shards = {
        "model-00001-of-00002.safetensors": names[: len(names) // 2],
        "model-00002-of-00002.safetensors": names[len(names) // 2 :],
    }
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / shard, {"format": "pt"})
    _write(
        folder / "model.safetensors.index.json",
        {
            "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
            "weight_map": {name: shard for shard, part in shards.items() for name in part},
        },
    )
    _write(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": value("llama.embedding_length"),
            "intermediate_size": value("llama.feed_forward_length"),
            "num_hidden_layers": value("llama.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": value("llama.context_length"),
            "rms_norm_eps": 1e-5,
            "rope_theta": value("llama.rope.freq_base"),
            "vocab_size": value("llama.vocab_size"),
            "tie_word_embeddings": True,
            "torch_dtype": "float16",
            "bos_token_id": value("tokenizer.ggml.bos_token_id"),
            "eos_token_id": value("tokenizer.ggml.eos_token_id"),
        },
    )
    _write_tokenizer(folder, value)
    return folder


def _write_tokenizer(folder: Path, value: Any) -> None:
    tokens, types = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    added = [
        {
            "id": id,
            "content": token,
            "special": True,
            "normalized": False,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
        }
        for id, (token, type) in enumerate(zip(tokens, types, strict=True))
        if type == CONTROL
    ]
    digits = {"type": "Digits", "individual_digits": True}
    bytes_ = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    _write(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, bytes_]},
            "post_processor": None,
            "decoder": {**bytes_, "add_prefix_space": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {token: id for id, token in enumerate(tokens)},
                "merges": value("tokenizer.ggml.merges"),
            },
        },
    )
    _write(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "tokenizer_class": "GPT2Tokenizer",
            "bos_token": tokens[value("tokenizer.ggml.bos_token_id")],
            "eos_token": tokens[value("tokenizer.ggml.eos_token_id")],
            "unk_token": "<|endoftext|>",
            "chat_template": value("tokenizer.chat_template"),
            "added_tokens_decoder": {str(token["id"]): token for token in added},
        },
    )


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_first_tokens(source: Path, folder: Path, count: int) -> None:
    """Write the tokenizer of the model folder ``source`` to ``folder``, with its first ``count``
    tokens alone."""
    tokenizer = json.loads((source / "tokenizer.json").read_text("utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {token: id for token, id in model["vocab"].items() if id < count}
    model["merges"] = [
        merge
        for merge in model["merges"]
        if {*merge.split(" "), merge.replace(" ", "")} <= model["vocab"].keys()
    ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")
    shutil.copy(source / "tokenizer_config.json", folder)
