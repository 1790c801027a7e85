"""A GGUF file as a base, and a GGUF LoRA as an adapter."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.tensor_names import module_names
from tests.convert.make_goldens import BASE, BIASED, FOLDER
from tests.convert.model_folders import (
    SHAPES,
    convert_folder,
    llama_quantize,
    random_folder,
    read_keys,
    read_safetensors,
    read_tensors,
    to_bytes,
    write_safetensors,
)

WITH_BIASES = SHAPES["biased"]


@pytest.fixture
def f32(tmp_path: Path) -> Path:
    file = tmp_path / "f32.gguf"
    convert_folder(random_folder(tmp_path / "model", **WITH_BIASES), "F32", file)
    return file


def read_weights(file: Path) -> dict[str, Any]:
    return {tensor.name: tensor.data for tensor in GGUFReader(file).tensors}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("source", ["F32", "BF16"])
@pytest.mark.parametrize("outtype", ["F32", "Q8_0", "Q4_K_M", "IQ4_XS"])
def test_a_gguf_is_quantized_as_llama_quantize_does(
    source: str, outtype: str, f32: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base.gguf"
    llama_quantize(f32, base, int(parse_outtype(source).file_type))
    convert_folder(base, outtype, tmp_path / "ours.gguf")
    llama_quantize(base, tmp_path / "theirs.gguf", int(parse_outtype(outtype).file_type))
    assert read_tensors(tmp_path / "ours.gguf") == read_tensors(tmp_path / "theirs.gguf")
    assert read_keys(tmp_path / "ours.gguf") == read_keys(tmp_path / "theirs.gguf")


@pytest.mark.parametrize("outtype", ["Q4_K_M", "Q8_0", "F32"])
def test_a_quantized_gguf_is_converted_with_a_warning(
    outtype: str, f32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tensors that have their type already are copied, all others go through float32."""
    base = tmp_path / "base.gguf"
    llama_quantize(f32, base, int(parse_outtype("Q4_K_M").file_type))
    ours = tmp_path / "ours.gguf"
    assert run(["merge", str(base), "--outtype", outtype, "--output", str(ours)]) == 0
    assert "is quantized already (Q4_K, Q6_K)" in capsys.readouterr().err.replace("Q5_0, ", "")
    llama_quantize(base, tmp_path / "theirs.gguf", int(parse_outtype(outtype).file_type))
    assert read_tensors(ours) == read_tensors(tmp_path / "theirs.gguf")


@pytest.mark.parametrize("kind", ["plain", "dora", "embedding", "tokens", "modules_to_save"])
def test_a_merge_into_a_gguf_equals_the_merge_into_its_folder(kind: str, tmp_path: Path) -> None:
    convert_folder(BASE, "F32", tmp_path / "base.gguf")
    convert_folder(tmp_path / "base.gguf", "F32", tmp_path / "ours.gguf", FOLDER / kind)
    convert_folder(BASE, "F32", tmp_path / "theirs.gguf", FOLDER / kind)
    assert read_tensors(tmp_path / "ours.gguf") == read_tensors(tmp_path / "theirs.gguf")


def random_lora(folder: Path, base: Path, modules: tuple[str, ...]) -> Path:
    """A LoRA of rank 2 of these modules of layer 1, and another norm of the output."""
    generator = np.random.default_rng(3)
    names = module_names(open_base(base).config)
    tensors = {"model.norm.weight": generator.normal(1, 0.1, names["model.norm"].shape)}
    for module in modules:
        rows, columns = names[f"model.layers.1.{module}"].shape
        tensors[f"model.layers.1.{module}.lora_A.weight"] = generator.normal(size=(2, columns))
        tensors[f"model.layers.1.{module}.lora_B.weight"] = generator.normal(size=(rows, 2))
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 1, "modules_to_save": ["norm"]}
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "target_modules": []}))
    written = {
        f"base_model.model.{name}": ("F32", values.shape, to_bytes(values, "F32"))
        for name, values in tensors.items()
    }
    write_safetensors(folder / "adapter_model.safetensors", written)
    return folder


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("shape", "modules"),
    [
        ("gemma2", ("self_attn.q_proj", "mlp.down_proj")),
        ("phi3", ("self_attn.qkv_proj", "mlp.gate_up_proj")),
        ("granite", ("self_attn.k_proj", "mlp.gate_proj")),
        ("olmo2", ("self_attn.k_proj", "self_attn.o_proj")),
    ],
)
def test_a_lora_of_another_architecture(
    shape: str, modules: tuple[str, ...], tmp_path: Path
) -> None:
    """Into folder and GGUF: fused matrices, interleaved rows and Gemma's norms, by a formula."""
    base = random_folder(tmp_path / "model", **SHAPES[shape])
    lora = random_lora(tmp_path / "lora", base, modules)
    convert_folder(base, "F32", tmp_path / "base.gguf")
    before = open_base(base).tensors
    changes = read_safetensors(lora / "adapter_model.safetensors")
    for source in (base, tmp_path / "base.gguf"):
        convert_folder(source, "F32", tmp_path / "out.gguf", lora)
        merged = open_base(tmp_path / "out.gguf").tensors
        norm = changes["base_model.model.model.norm.weight"].read_all()
        assert np.allclose(merged["model.norm.weight"].read_all(), norm, atol=1e-6)
        for module in modules:
            name = f"model.layers.1.{module}"
            a, b = (changes[f"base_model.model.{name}.lora_{p}.weight"].read_all() for p in "AB")
            wanted = before[f"{name}.weight"].read_all() + 0.5 * (b @ a)
            assert np.allclose(merged[f"{name}.weight"].read_all(), wanted, atol=1e-5), name


def test_biases_of_q_and_k_are_merged_into_a_gguf(tmp_path: Path) -> None:
    convert_folder(BIASED, "F32", tmp_path / "base.gguf")
    convert_folder(tmp_path / "base.gguf", "F32", tmp_path / "ours.gguf", FOLDER / "lora_bias")
    convert_folder(BIASED, "F32", tmp_path / "theirs.gguf", FOLDER / "lora_bias")
    assert read_tensors(tmp_path / "ours.gguf") == read_tensors(tmp_path / "theirs.gguf")


@pytest.mark.parametrize("kind", ["plain", "rslora", "patterns", "untied_head"])
def test_a_gguf_lora_merges_like_its_folder(kind: str, tmp_path: Path) -> None:
    base = BIASED if kind == "untied_head" else BASE
    lora = tmp_path / "lora.gguf"
    write_adapter(open_base(base), open_adapter(FOLDER / kind), lora, "f32")
    convert_folder(base, "F32", tmp_path / "ours.gguf", lora)
    convert_folder(base, "F32", tmp_path / "theirs.gguf", FOLDER / kind)
    ours, theirs = read_weights(tmp_path / "ours.gguf"), read_weights(tmp_path / "theirs.gguf")
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        # The scale is in B here, and multiplies the product there: the last bit may differ.
        assert np.allclose(ours[name], values, rtol=0, atol=1e-7), name


def test_neither_base_nor_adapter_is_overwritten(tmp_path: Path) -> None:
    base, lora = tmp_path / "base.gguf", tmp_path / "lora.gguf"
    convert_folder(BASE, "F32", base)
    write_adapter(open_base(base), open_adapter(FOLDER / "plain"), lora)
    before = base.read_bytes(), lora.read_bytes()
    for output in (base, lora):
        assert run(["merge", str(base), "--adapter", str(lora), "-o", str(output)]) == 1
        assert run(["adapter", str(lora), "--base", str(base), "-o", str(output)]) == 1
    assert (base.read_bytes(), lora.read_bytes()) == before


def test_half_of_a_gguf_lora_with_an_alpha(tmp_path: Path) -> None:
    """llama.cpp scales by alpha over rank; files of its converter contain an alpha."""
    generator = np.random.default_rng(3)
    a = generator.normal(size=(2, 32)).astype(np.float32)
    b = generator.normal(size=(48, 2)).astype(np.float32)
    writer = GGUFWriter(tmp_path / "lora.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 6.0)
    writer.add_tensor("blk.1.ffn_up.weight.lora_a", a)
    writer.add_tensor("blk.1.ffn_up.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    adapters = [open_adapter(tmp_path / "lora.gguf", 0.5)]
    merge(plan_conversion(BASE, adapters, parse_outtype("F32")), tmp_path / "out.gguf")
    convert_folder(BASE, "F32", tmp_path / "base.gguf")
    before = read_weights(tmp_path / "base.gguf")["blk.1.ffn_up.weight"]
    after = read_weights(tmp_path / "out.gguf")["blk.1.ffn_up.weight"]
    assert np.allclose(after, before + 0.5 * (6.0 / 2) * (b @ a), atol=1e-5)


def test_a_model_split_into_several_files(f32: Path, tmp_path: Path) -> None:
    """As llama-gguf-split leaves them: tensors in both, ``split.count`` in each."""
    reader = GGUFReader(f32)
    names = [tensor.name for tensor in reader.tensors]
    for number, part in ((1, names[:5]), (2, names[5:])):
        writer = GGUFWriter(tmp_path / f"model-0000{number}-of-00002.gguf", "llama")
        for name, field in reader.fields.items():
            if number == 1 and not name.startswith(("GGUF.", "general.architecture")):
                writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
        writer.add_uint16("split.no", number - 1)
        writer.add_uint16("split.count", 2)
        for tensor in reader.tensors:
            if tensor.name in part:
                writer.add_tensor(tensor.name, tensor.data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    convert_folder(tmp_path / "model-00001-of-00002.gguf", "Q4_0", tmp_path / "ours.gguf")
    convert_folder(f32, "Q4_0", tmp_path / "theirs.gguf")
    assert read_tensors(tmp_path / "ours.gguf") == read_tensors(tmp_path / "theirs.gguf")
    assert read_keys(tmp_path / "ours.gguf") == read_keys(tmp_path / "theirs.gguf")
    with pytest.raises(ConvertError, match="give the first of them"):
        open_base(tmp_path / "model-00002-of-00002.gguf")


def test_a_truncated_file_and_a_lora_for_a_base_are_named(f32: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(f32.read_bytes()[:-1000])
    with pytest.raises(ConvertError, match=r"cut\.gguf"):
        open_base(cut)
    write_adapter(open_base(BASE), open_adapter(FOLDER / "plain"), tmp_path / "lora.gguf")
    with pytest.raises(ConvertError, match="is an adapter: give it with --adapter"):
        open_base(tmp_path / "lora.gguf")
    with pytest.raises(ConvertError, match="is not a LoRA"):
        open_adapter(f32)
    with pytest.raises(ConvertError, match="no such folder and no such file"):
        open_base(tmp_path / "nothing")


def test_any_damage_to_a_header_is_a_clear_error_or_a_model(f32: Path, tmp_path: Path) -> None:
    """Random bytes of the header are changed; a count of 2^60 entries does not hang."""
    whole = f32.read_bytes()
    generator = np.random.default_rng(11)
    file = tmp_path / "damaged.gguf"
    for _ in range(150):
        damaged = bytearray(whole)
        for place in generator.integers(4, 3000, 3):
            damaged[place] = generator.integers(256)
        file.write_bytes(damaged)
        with contextlib.suppress(ConvertError):
            open_base(file)
