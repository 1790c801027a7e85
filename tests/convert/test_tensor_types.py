"""The type of every tensor, compared with llama_model_quantize, for shapes from 135M to 72B.

The reference is its dry run on sparse files; its log contains each type.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import llama_cpp.llama_cpp as lib
import pytest

from baize_convert.quantization.outtypes import OUTTYPES, Outtype
from baize_convert.quantization.tensor_types import tensor_types
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.tensor_names import module_names
from baize_tui.engine.llama.log import install_log
from tests.convert.model_folders import sparse_gguf

# name: model_type, layers, hidden, ffn, heads, key-value heads, vocabulary, tied
MODELS = {
    "smollm2-135m": ("llama", 30, 576, 1536, 9, 3, 49152, True),
    "smollm2-360m": ("llama", 32, 960, 2560, 15, 5, 49152, True),
    "tinyllama-1.1b": ("llama", 22, 2048, 5632, 32, 4, 32000, False),
    "llama-3.2-1b": ("llama", 16, 2048, 8192, 32, 8, 128256, True),
    "open-llama-3b": ("llama", 26, 3200, 8640, 32, 32, 32000, False),
    "llama-7b": ("llama", 32, 4096, 11008, 32, 32, 32000, False),
    "llama-3-8b": ("llama", 32, 4096, 14336, 32, 8, 128256, False),
    "llama-13b": ("llama", 40, 5120, 13824, 40, 40, 32000, False),
    "llama-30b": ("llama", 60, 6656, 17920, 52, 52, 32000, False),
    "llama-65b": ("llama", 80, 8192, 22016, 64, 64, 32000, False),
    "llama-2-70b": ("llama", 80, 8192, 28672, 64, 8, 32000, False),
    "qwen2.5-0.5b": ("qwen2", 24, 896, 4864, 14, 2, 151936, True),
    "qwen2.5-72b": ("qwen2", 80, 8192, 29568, 64, 8, 152064, False),
    "qwen3-4b": ("qwen3", 36, 2560, 9728, 32, 8, 151936, True),
    "smollm3-3b": ("smollm3", 36, 2048, 11008, 16, 4, 128256, True),
    "gemma-2-2b": ("gemma2", 26, 2304, 9216, 8, 4, 256000, True),
    "gemma-2-27b": ("gemma2", 46, 4608, 36864, 32, 16, 256000, True),
    "gemma-3-1b": ("gemma3_text", 26, 1152, 6912, 4, 1, 262144, True),
    "gemma-3-27b": ("gemma3_text", 62, 5376, 21504, 32, 16, 262208, True),
    "phi-3-mini": ("phi3", 32, 3072, 8192, 32, 32, 32064, False),
    "phi-4": ("phi3", 40, 5120, 17920, 40, 10, 100352, False),
    "phi-4-mini": ("phi3", 32, 3072, 8192, 24, 8, 200064, True),
    "granite-3.3-2b": ("granite", 40, 2048, 8192, 32, 8, 49159, True),
    "olmo-2-1b": ("olmo2", 16, 2048, 8192, 16, 16, 100352, False),
    "olmo-2-32b": ("olmo2", 64, 5120, 27648, 40, 8, 100352, False),
    "odd-width": ("llama", 9, 100, 300, 5, 5, 1000, False),
}
HEAD_SIZES = {"qwen3": 128, "gemma2": 256, "gemma3_text": 256}
_LINE = re.compile(r"\] +(\S+) +- \[.*?type = +(\w+), size = .*?(?:\((\w+)\))?$")


def model_config(name: str) -> ModelConfig:
    model_type, layers, hidden, ffn, heads, kv_heads, vocabulary, tied = MODELS[name]
    return ModelConfig(
        model_type=model_type,
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=HEAD_SIZES.get(model_type),
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        sliding_window=4096,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    )


def model_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of all weights by GGUF name."""
    shapes = {f"{name.target}.weight": name.shape for name in module_names(config).values()}
    if config.tie_word_embeddings:
        del shapes["output.weight"]
    return shapes


def llama_cpp_types(file: Path, outtype: Outtype, *, imatrix: bool) -> dict[str, str]:
    """The types in the log of its dry run; it returns them nowhere else."""
    lines: list[str] = []

    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def log(level: int, text: bytes, data: object) -> None:
        lines.append(text.decode())

    params = lib.llama_model_quantize_default_params()
    params.ftype, params.dry_run = int(outtype.file_type), True
    ones = (ctypes.c_float * 1)(1.0)
    entries = (lib.llama_model_imatrix_data * 2)()
    if imatrix:
        entries[0].name, entries[0].data, entries[0].size = b"none", ones, 1
        params.imatrix = entries
    lib.llama_log_set(log, None)
    try:
        code = lib.llama_model_quantize(str(file).encode(), b"/dev/null", ctypes.byref(params))
    finally:
        install_log()
    assert code == 0, "".join(lines)[-2000:]
    types = {}
    for line in "".join(lines).split("\n"):
        if match := _LINE.search(line):
            types[match[1]] = (match[3] or match[2]).upper()
    return types


@pytest.mark.sampled(16)
@pytest.mark.parametrize("imatrix", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_has_the_type_that_llama_cpp_gives_it(
    name: str, imatrix: bool, tmp_path: Path
) -> None:
    config = model_config(name)
    shapes = model_shapes(config)
    file = tmp_path / "sparse.gguf"
    sparse_gguf(file, shapes, config)
    for outtype in OUTTYPES.values():
        wanted = llama_cpp_types(file, outtype, imatrix=imatrix)
        assert len(wanted) == len(shapes)
        ours = tensor_types(shapes, outtype, config.shape, has_imatrix=imatrix)
        assert {n: choice.type.name for n, choice in ours.items()} == wanted, outtype.name
