"""Hugging Face folders with random weights of any shape and dtype, and llama.cpp as a reference."""

from __future__ import annotations

import ctypes
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from gguf import GGUFReader, GGUFWriter
from numpy.typing import NDArray

from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.output.architecture_keys import add_architecture_keys
from baize_convert.plan import Plan, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.checkpoint import expected_shapes
from baize_convert.sources.gguf_file import read_gguf, read_value
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_convert.sources.tensors import StoredTensor
from baize_convert.sources.torch_file import parse_torch_file

Array = NDArray[Any]
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SHAPES: dict[str, dict[str, Any]] = {
    # Heads in groups, tied, float16; a feed-forward width that no K-quant fits.
    "grouped": {
        "hidden_size": 512,
        "intermediate_size": 672,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    # No groups, untied, biases, LLaMA 3's RoPE, bfloat16.
    "biased": {
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "attention_bias": True,
        "rope_parameters": {**LLAMA3, "rope_theta": 500000.0},
        "dtype": "BF16",
    },
    # 2,048 wide, heads in groups of eight, untied, LLaMA 3's RoPE in the older writing.
    "wide": {
        "hidden_size": 2048,
        "intermediate_size": 2816,
        "num_hidden_layers": 1,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "rope_scaling": LLAMA3,
        "rope_theta": 500000.0,
        "dtype": "BF16",
    },
    "yarn": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "head_dim": 32,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 2048,
            "beta_fast": 32.0,
        },
        "max_position_embeddings": 8192,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 32768,
        "dtype": "BF16",
    },
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 96,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 40960,
    },
    # 2,048 wide, without groups, tied, biases.
    "wide_tied": {
        "hidden_size": 2048,
        "intermediate_size": 2560,
        "num_hidden_layers": 1,
        "num_attention_heads": 16,
        "tie_word_embeddings": True,
        "attention_bias": True,
    },
    # Layers without RoPE; tied, as SmolLM3 is by default.
    "smollm3": {
        "architectures": ["SmolLM3ForCausalLM"],
        "model_type": "smollm3",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "dtype": "BF16",
    },
    # Norms around attention and feed-forward, windows in every second layer, caps of logits.
    "gemma2": {
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "head_dim": 96,
        "query_pre_attn_scalar": 96,
        "sliding_window": 4,
        "dtype": "BF16",
    },
    # Windows in five of six layers, two kinds of RoPE.
    "gemma3": {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": 262,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 96,
        "query_pre_attn_scalar": 96,
        "sliding_window": 4,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "dtype": "BF16",
    },
    # Fused matrices, a RoPE of three quarters of a head that is scaled by frequency; tied.
    "phi3": {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "partial_rotary_factor": 0.75,
        "max_position_embeddings": 16384,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1 + at / 8 for at in range(24)],
            "long_factor": [1 + at / 2 for at in range(24)],
        },
        "dtype": "BF16",
    },
    # Fused matrices, the whole head rotated, untied, no groups: like Phi-3-mini-4k.
    "phi3_short": {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "sliding_window": 4095,
    },
    # Four scales.
    "granite": {
        "architectures": ["GraniteForCausalLM"],
        "model_type": "granite",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "attention_bias": True,
        "embedding_multiplier": 12.0,
        "attention_multiplier": 0.02,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
        "tie_word_embeddings": True,
        "dtype": "BF16",
    },
    # Norms after attention and feed-forward, and of all queries and all keys.
    "olmo2": {
        "architectures": ["Olmo2ForCausalLM"],
        "model_type": "olmo2",
        "hidden_size": 512,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rope_theta": 500000.0,
        "dtype": "BF16",
    },
}
"""Shapes of random models by a name; see ``random_folder``."""
CONVERT = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from conversion.base import TextModel
if sys.argv[2] == "own tokenizer":  # no hash of it is known to llama.cpp
    from conversion import gemma, phi
    TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    for model in (gemma.Gemma2Model, gemma.Gemma3Model, phi.Phi3MiniModel):
        model.set_vocab = TextModel.set_vocab  # not SentencePiece
outtype, output, folder = sys.argv[3:]
sys.argv = ["convert_hf_to_gguf.py", "--outtype", outtype, "--outfile", output, folder]
runpy.run_path(sys.path[0] + "/convert_hf_to_gguf.py", run_name="__main__")
"""
"""A program for a Python with torch: llama.cpp's converter in its folder, tokenizer, outtype ..."""
REFERENCES = Path(__file__).parent / "references.json"


def references() -> dict[str, dict[str, str]]:
    """``file_digests`` of the output of llama.cpp's converter, by name of the folder."""
    result: dict[str, dict[str, str]] = json.loads(REFERENCES.read_text())
    return result


def write_safetensors(
    file: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]
) -> None:
    """Write tensors (dtype, shape, bytes) by name. The library cannot: numpy has no bfloat16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        offsets = [at, at + len(data)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        at += len(data)
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with file.open("wb") as handle:
        handle.write(struct.pack("<Q", len(raw)) + raw)
        for _, _, data in tensors.values():
            handle.write(data)


def read_safetensors(file: Path) -> dict[str, StoredTensor]:
    return parse_safetensors(MappedFile(file))


def read_torch_file(file: Path) -> dict[str, StoredTensor]:
    return parse_torch_file(MappedFile(file))


def to_bytes(values: Array, dtype: str) -> bytes:
    if dtype == "BF16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype({"F32": np.float32, "F16": np.float16}[dtype]).tobytes()


def random_folder(folder: Path, dtype: str = "F16", **config: Any) -> Path:
    """A folder of a LLaMA with this config, and the tokenizer of the golden base."""
    folder.mkdir(parents=True)
    base = Path(__file__).parent / "goldens" / "base"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    if str(config.get("model_type")).startswith("qwen"):
        # transformers would add it: its tokenizer of Qwen is never without.
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        added = {**tokenizer["added_tokens"][0], "id": 260, "content": "<|endoftext|>"}
        tokenizer["added_tokens"].append(added)
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    elif config.get("model_type") is not None:
        # transformers would take the tokenizer of the model.
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    described = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 300,
        **config,
    }
    described.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(described))
    parsed = read_config(folder)
    generator = np.random.default_rng(7)
    tensors = {}
    for name, shape in expected_shapes(parsed).items():
        if name == "lm_head.weight" and parsed.tie_word_embeddings:
            continue
        values = generator.normal(0, 0.05, shape).astype(np.float32)
        tensors[name] = (dtype, shape, to_bytes(values, dtype))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def convert_folder(folder: Path, outtype: str, output: Path, adapter: Path | None = None) -> Plan:
    """Merge ``adapter`` into a base and write it to ``output``."""
    adapters = [open_adapter(adapter)] if adapter is not None else []
    plan = plan_conversion(folder, adapters, parse_outtype(outtype))
    merge(plan, output)
    return plan


def llama_quantize(
    source: Path, target: Path, file_type: int, imatrix: Mapping[str, Array] | None = None
) -> None:
    """Run llama-quantize as a library."""
    params = lib.llama_model_quantize_default_params()
    params.ftype = file_type
    params.allow_requantize = True
    if imatrix is not None:
        kept = {name.encode(): np.ascontiguousarray(v, np.float32) for name, v in imatrix.items()}
        entries = (lib.llama_model_imatrix_data * (len(kept) + 1))()
        for entry, (name, values) in zip(entries, kept.items(), strict=False):
            data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entry.name, entry.data, entry.size = name, data, len(values)
        params.imatrix = entries
    code = lib.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    assert code == 0


def read_tensors(file: Path) -> dict[str, tuple[str, bytes]]:
    """Type and data of every tensor of a GGUF."""
    return _tensors(read_gguf(file))


def _tensors(reader: GGUFReader) -> dict[str, tuple[str, bytes]]:
    return {
        tensor.name: (tensor.tensor_type.name, tensor.data.tobytes()) for tensor in reader.tensors
    }


def read_keys(file: Path) -> dict[str, Any]:
    """The keys that define a model, without names and licences."""
    return _keys(read_gguf(file))


def _keys(reader: GGUFReader) -> dict[str, Any]:
    wanted = ("general.architecture", "general.file_type", "general.quantization_version")
    architecture = read_value(reader, "general.architecture")
    return {
        name: (field.types, read_value(reader, name))
        for name, field in reader.fields.items()
        if name.startswith((f"{architecture}.", "tokenizer.")) or name in wanted
    }


def file_digests(file: Path, without: Sequence[str] = ()) -> dict[str, str]:
    """A hash of every tensor with its type, and of the keys but ``without``."""
    reader, tensors = read_gguf(file), hashlib.sha256()
    for name, (type, data) in sorted(_tensors(reader).items()):
        tensors.update(f"{name} {type} {hashlib.sha256(data).hexdigest()}\n".encode())
    keys = json.dumps(
        {name: repr(value) for name, value in _keys(reader).items() if name not in without},
        sort_keys=True,
    )
    return {"tensors": tensors.hexdigest(), "keys": hashlib.sha256(keys.encode()).hexdigest()}


def sparse_gguf(file: Path, shapes: Mapping[str, tuple[int, ...]], config: ModelConfig) -> None:
    """A sparse GGUF with tensors of these shapes: only the head takes space on the disk."""
    writer = GGUFWriter(None, config.architecture.name)
    add_architecture_keys(writer, config)
    writer.add_tokenizer_model("none")
    size = 0
    for name, shape in shapes.items():
        count = int(np.prod(shape)) * 4
        writer.add_tensor_info(name, shape, np.dtype(np.float32), count)
        size += -(-count // 32) * 32
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    head = -(-file.stat().st_size // 32) * 32
    with file.open("r+b") as handle:
        handle.truncate(head + size)
