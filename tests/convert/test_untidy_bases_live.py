"""What transformers loads from the same folders, where PyTorch is installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baize_convert.opening import open_base
from baize_convert.sources.scaled_tensor import TABLES
from tests.convert.model_folders import Array, read_safetensors, write_safetensors
from tests.convert.quantized_folders import quantized_folder
from tests.convert.untidy_folders import (
    EMBEDDING,
    FILES,
    HEAD,
    NAMES,
    SINGLE,
    add_tensors,
    float32,
    rename_tensors,
    set_config,
    stored,
    tidy_folder,
    write_index,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

pytestmark = pytest.mark.training
BEYOND_TRANSFORMERS = {
    "index of an earlier save",
    "index that names a lost shard too",
    "index that lacks a shard",
    "no index",
    "damaged index",
    "only a variant",
}
"""Folders that transformers does not load, or not without more arguments."""
LOADED_NAMES = {"LlamaModel", "model. before all"}


def loaded(folder: Path, **options: Any) -> dict[str, Array]:
    """The tensors of the model that transformers loads, in float32; none is initialized."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, **options
    )
    assert not info["missing_keys"]
    return {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}


def compare(folder: Path, theirs: dict[str, Array]) -> None:
    """Every tensor is the same to the last bit; a tied head is theirs twice."""
    ours = open_base(folder).tensors
    if HEAD not in ours:
        assert np.array_equal(theirs.pop(HEAD), theirs[EMBEDDING])
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert np.array_equal(tensor.read_all(), theirs[name]), name


@pytest.mark.parametrize("case", sorted(FILES.keys() - BEYOND_TRANSFORMERS))
def test_the_files_that_transformers_loads(case: str, tmp_path: Path) -> None:
    folder = tidy_folder(tmp_path / "model")
    FILES[case][0](folder)
    compare(folder, loaded(folder))


@pytest.mark.parametrize("case", sorted(BEYOND_TRANSFORMERS))
def test_files_that_transformers_does_not_load(case: str, tmp_path: Path) -> None:
    """If it does one day, it is to be compared with."""
    folder = tidy_folder(tmp_path / "model")
    FILES[case][0](folder)
    with pytest.raises((OSError, ValueError, AssertionError)):
        loaded(folder)
    if case == "only a variant":
        compare(folder, loaded(folder, variant="fp16"))


@pytest.mark.parametrize("wrapper", NAMES)
def test_names_that_transformers_loads(wrapper: str, tmp_path: Path) -> None:
    folder = tidy_folder(tmp_path / "model")
    rename_tensors(folder, NAMES[wrapper])
    if wrapper in LOADED_NAMES:
        compare(folder, loaded(folder))
    else:
        with pytest.raises(AssertionError):
            loaded(folder)


@pytest.mark.parametrize("stored_names", [{EMBEDDING}, {HEAD}, {EMBEDDING, HEAD}])
@pytest.mark.parametrize("equal", [True, False])
def test_a_tied_model(stored_names: set[str], equal: bool, tmp_path: Path) -> None:
    folder = tidy_folder(tmp_path / "model", tied=True, dtype="F32")
    embedding = read_safetensors(folder / SINGLE)[EMBEDDING].read_all()
    add_tensors(folder, float32(HEAD, embedding if equal else embedding[::-1].copy()))
    kept = {
        name: entry
        for name, entry in stored(folder / SINGLE).items()
        if name in stored_names or name not in (EMBEDDING, HEAD)
    }
    write_safetensors(folder / SINGLE, kept)
    compare(folder, loaded(folder))


def test_a_shard_of_save_pretrained_over_an_older_one(tmp_path: Path) -> None:
    """Two saves into one folder: what is left of the first must not come back."""
    folder = tidy_folder(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.save_pretrained(folder, max_shard_size="50KB")
    compare(folder, loaded(folder))
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    model.save_pretrained(folder, max_shard_size="100KB")
    compare(folder, loaded(folder))
    model.save_pretrained(folder)
    compare(folder, loaded(folder))


def test_older_pytorch_shards(tmp_path: Path) -> None:
    folder = tidy_folder(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / SINGLE).unlink()
    compare(folder, loaded(folder))
    (folder / "pytorch_model.bin").unlink()
    weight_map = {}
    state = model.state_dict()
    for number in (1, 2):
        file = f"pytorch_model-0000{number}-of-00002.bin"
        part = {name: state[name].clone() for name in sorted(state)[number - 1 :: 2]}
        torch.save(part, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    write_index(folder, weight_map, "pytorch_model.bin.index.json")
    theirs = loaded(folder)
    compare(folder, dict(theirs))
    (folder / "pytorch_model.bin.index.json").unlink()
    assert "has no index" in open_base(folder).notes[0]
    compare(folder, theirs)


# --- quantized ----------------------------------------------------------------------------------


def test_every_code_of_float8_is_that_of_torch() -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    for name, dtype in (
        ("F8_E4M3", torch.float8_e4m3fn),
        ("F8_E5M2", torch.float8_e5m2),
        ("F8_E8M0", torch.float8_e8m0fnu),
    ):
        theirs = codes.view(dtype).float().numpy()
        assert np.array_equal(TABLES[name], theirs, equal_nan=True), name


@pytest.mark.parametrize(
    ("kind", "hidden", "ffn"),
    [
        ("float8, scale of a tensor", 192, 320),
        ("float8, scale of a row", 192, 320),
        ("float8, BF16 scales", 192, 320),
        ("float8, groups of columns", 192, 320),
        ("float8 E5M2", 192, 320),
        ("MXFP8", 192, 320),
        # It takes smaller blocks, not a smaller last block, where they do not divide a matrix.
        ("float8, blocks of 128", 256, 384),
        ("float8, E8M0 scales", 256, 384),
    ],
)
def test_float8_as_transformers_dequantizes_it(
    kind: str, hidden: int, ffn: int, tmp_path: Path
) -> None:
    folder = quantized_folder(tmp_path / "model", kind, hidden, ffn)
    method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    set_config(folder, quantization_config=method)
    rename_tensors(folder, lambda name: re.sub("weight_scale$", "weight_scale_inv", name))
    compare(folder, loaded(folder))


COMPRESSED = {
    "float8, scale of a tensor in a list": ("float-quantized", "float", 8, "tensor", None),
    "float8, scale of a row": ("float-quantized", "float", 8, "channel", None),
    "float8, block_structure": ("float-quantized", "float", 8, "block", [48, 80]),
    "int8, scale of a row": ("int-quantized", "int", 8, "channel", None),
    "int8, zero points": ("int-quantized", "int", 8, "channel", None),
    "int8, groups": ("int-quantized", "int", 8, "group", 32),
    "packed int4, groups": ("pack-quantized", "int", 4, "group", 32),
    "packed int4, scale of a row": ("pack-quantized", "int", 4, "channel", None),
    "packed int4, zero points": ("pack-quantized", "int", 4, "group", 64),
    "packed int8, groups": ("pack-quantized", "int", 8, "group", 32),
    "packed int8, zero points": ("pack-quantized", "int", 8, "group", 32),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_what_compressed_tensors_decompresses(kind: str, tmp_path: Path) -> None:
    compressors = pytest.importorskip("compressed_tensors.compressors")
    quantization = pytest.importorskip("compressed_tensors.quantization")
    folder = quantized_folder(tmp_path / "model", kind)
    format, type, bits, strategy, size = COMPRESSED[kind]
    arguments = quantization.QuantizationArgs(
        num_bits=bits,
        type=type,
        symmetric="zero" not in kind,
        strategy=strategy,
        group_size=size if strategy == "group" else None,
        block_structure=size if strategy == "block" else None,
    )
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=arguments)
    compressor = compressors.BaseCompressor.get_value_from_registry(format)
    theirs = safetensors_torch.load_file(folder / SINGLE)
    for name, tensor in open_base(folder).tensors.items():
        if "proj" not in name:
            continue
        module = name.removesuffix("weight")
        parts = {key.removeprefix(module): theirs[key] for key in theirs if key.startswith(module)}
        weight = compressor.decompress(parts, scheme)["weight"]
        assert np.array_equal(tensor.read_all(), weight.float().numpy()), name
