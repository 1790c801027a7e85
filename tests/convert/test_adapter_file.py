"""GGUF LoRAs: applied by llama.cpp at run time, they give the logits of the merge."""

from __future__ import annotations

import ctypes
import json
import shutil
from pathlib import Path

import llama_cpp.llama_cpp as lib
import numpy as np
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, write_safetensors

TOKENS = [1, 60, 77, 130, 200, 90, 33]


def read_logits(model_file: Path, adapter_file: Path | None = None) -> NDArray[np.float32]:
    """Logits after each of ``TOKENS``, [tokens, vocabulary]."""
    model = lib.llama_model_load_from_file(
        str(model_file).encode(), lib.llama_model_default_params()
    )
    assert model
    params = lib.llama_context_default_params()
    params.n_ctx = 64
    context = lib.llama_init_from_model(model, params)
    adapter = None
    if adapter_file is not None:
        adapter = lib.llama_adapter_lora_init(model, str(adapter_file).encode())
        assert adapter
        adapters = (type(adapter) * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        lib.llama_set_adapters_lora(
            context, ctypes.cast(adapters, lib.llama_set_adapters_lora.argtypes[1]), 1, scales
        )
    rows = []
    for token in TOKENS:
        ids = (lib.llama_token * 1)(token)
        assert lib.llama_decode(context, lib.llama_batch_get_one(ids, 1)) == 0
        rows.append(np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (300,)).copy())
    lib.llama_free(context)
    lib.llama_model_free(model)
    return np.array(rows)


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with a separate head."""
    folder = Path(shutil.copytree(BASE, tmp_path_factory.mktemp("untied") / "base"))
    tensors = {
        name: (tensor.dtype, tensor.shape, tensor.read_all().tobytes())
        for name, tensor in read_safetensors(BASE / "model.safetensors").items()
    }
    head = np.random.default_rng(3).normal(0, 0.1, (300, 32)).astype(np.float32)
    tensors["lm_head.weight"] = ("F32", (300, 32), head.tobytes())
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return folder


@pytest.mark.parametrize("kind", ["plain", "rslora", "patterns", "embedding"])
def test_a_run_time_adapter_gives_the_logits_of_the_merge(
    kind: str, untied: Path, tmp_path: Path
) -> None:
    adapter = open_adapter(FOLDER / kind)
    merge(plan_conversion(untied, [], parse_outtype("F32")), tmp_path / "base.gguf")
    merge(plan_conversion(untied, [adapter], parse_outtype("F32")), tmp_path / "merged.gguf")
    write_adapter(open_base(untied), adapter, tmp_path / "lora.gguf", "f32")
    base = read_logits(tmp_path / "base.gguf")
    merged = read_logits(tmp_path / "merged.gguf")
    with_adapter = read_logits(tmp_path / "base.gguf", tmp_path / "lora.gguf")
    added = np.abs(merged - base).max()
    assert added > 0
    assert np.abs(with_adapter - merged).max() < 0.01 * added


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("dora", "DoRA"),
        ("modules_to_save", "input_layernorm .replaced as a whole.*and 2 more"),
        ("embedding", "embed_tokens .which the head shares"),
    ],
)
def test_changes_that_need_a_merge_are_named(kind: str, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=rf"{wrong}.*use 'merge'"):
        write_adapter(open_base(BASE), open_adapter(FOLDER / kind), tmp_path / "lora.gguf")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "lora.gguf"
    arguments = ["adapter", str(FOLDER / "plain"), "--base", str(BASE), "--output", str(output)]
    assert run(arguments) == 0
    assert "6 modules" in capsys.readouterr().out
    assert {tensor.tensor_type.name for tensor in GGUFReader(output).tensors} == {"F16"}
    assert run([*arguments, "--outtype", "q4_0"]) == 1
