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
from baize_convert.quantization.tensor_types import ModelShape, tensor_types
from baize_tui.engine.llama.log import install_log
from tests.convert.model_folders import sparse_gguf

# name: layers, hidden, ffn, heads, key-value heads, vocabulary, tied
MODELS = {
    "smollm2-135m": (30, 576, 1536, 9, 3, 49152, True),
    "smollm2-360m": (32, 960, 2560, 15, 5, 49152, True),
    "tinyllama-1.1b": (22, 2048, 5632, 32, 4, 32000, False),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 128256, True),
    "open-llama-3b": (26, 3200, 8640, 32, 32, 32000, False),
    "llama-7b": (32, 4096, 11008, 32, 32, 32000, False),
    "llama-3-8b": (32, 4096, 14336, 32, 8, 128256, False),
    "llama-13b": (40, 5120, 13824, 40, 40, 32000, False),
    "llama-30b": (60, 6656, 17920, 52, 52, 32000, False),
    "llama-65b": (80, 8192, 22016, 64, 64, 32000, False),
    "llama-2-70b": (80, 8192, 28672, 64, 8, 32000, False),
    "qwen2.5-0.5b": (24, 896, 4864, 14, 2, 151936, True),
    "qwen2.5-72b": (80, 8192, 29568, 64, 8, 152064, False),
    "qwen3-4b": (36, 2560, 9728, 32, 8, 151936, True),
    "odd-width": (9, 100, 300, 5, 5, 1000, False),
}
_LINE = re.compile(r"\] +(\S+) +- \[.*?type = +(\w+), size = .*?(?:\((\w+)\))?$")


def model_shapes(name: str) -> dict[str, tuple[int, ...]]:
    layers, hidden, ffn, heads, kv_heads, vocab, tied = MODELS[name]
    head_size = 128 if name.startswith("qwen3") else hidden // heads
    queries, keys = head_size * heads, head_size * kv_heads
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocab, hidden)}
    for layer in range(layers):
        for part, shape in {
            "attn_norm": (hidden,),
            "attn_q": (queries, hidden),
            "attn_k": (keys, hidden),
            "attn_v": (keys, hidden),
            "attn_output": (hidden, queries),
            "ffn_norm": (hidden,),
            "ffn_gate": (ffn, hidden),
            "ffn_up": (ffn, hidden),
            "ffn_down": (hidden, ffn),
        }.items():
            shapes[f"blk.{layer}.{part}.weight"] = shape
        if name.startswith("qwen3"):
            shapes[f"blk.{layer}.attn_q_norm.weight"] = (head_size,)
            shapes[f"blk.{layer}.attn_k_norm.weight"] = (head_size,)
    shapes["output_norm.weight"] = (hidden,)
    if not tied:
        shapes["output.weight"] = (vocab, hidden)
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


@pytest.mark.parametrize("imatrix", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_has_the_type_that_llama_cpp_gives_it(
    name: str, imatrix: bool, tmp_path: Path
) -> None:
    layers, _, _, heads, kv_heads, _, _ = MODELS[name]
    shapes = model_shapes(name)
    file = tmp_path / "sparse.gguf"
    architecture = name[:5] if name.startswith("qwen") else "llama"
    sparse_gguf(file, shapes, layers, heads, kv_heads, architecture)
    for outtype in OUTTYPES.values():
        wanted = llama_cpp_types(file, outtype, imatrix=imatrix)
        assert len(wanted) == len(shapes)
        model = ModelShape(layers, heads, kv_heads, architecture)
        ours = tensor_types(shapes, outtype, model, has_imatrix=imatrix)
        assert {n: choice.type.name for n, choice in ours.items()} == wanted, outtype.name
