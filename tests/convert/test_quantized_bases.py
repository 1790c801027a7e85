"""Quantized checkpoints that are read by their scales: the same bytes as from float32."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.opening import open_base
from baize_convert.plan import ConversionOptions, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.quantized_weights import read_quantized
from baize_convert.sources.scaled_tensor import TABLES, ScaledTensor
from baize_convert.sources.tensors import Tensor
from tests.convert.model_folders import (
    convert_folder,
    read_safetensors,
    read_tensors,
    write_safetensors,
)
from tests.convert.quantized_folders import E4M3, E5M2, KINDS, quantized_folder
from tests.convert.untidy_folders import (
    SINGLE,
    add_tensors,
    float32,
    set_config,
    stored,
    tidy_folder,
)

Entry = tuple[str, tuple[int, ...], bytes]
UP = "model.layers.0.mlp.up_proj"


@pytest.fixture(scope="module")
def float8_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not change it."""
    return quantized_folder(tmp_path_factory.mktemp("float8") / "model", "float8, blocks of 128")


@pytest.fixture(scope="module")
def packed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not change it."""
    return quantized_folder(tmp_path_factory.mktemp("packed") / "model", "packed int4, zero points")


def refusal(folder: Path) -> str:
    with pytest.raises(ConvertError) as error:
        open_base(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_code_of_float8() -> None:
    assert np.array_equal(TABLES["F8_E4M3"], E4M3, equal_nan=True)
    assert np.array_equal(TABLES["F8_E5M2"], E5M2, equal_nan=True)
    assert TABLES["F8_E4M3"][[0x38, 0x7E, 0x01, 0xB8]].tolist() == [1.0, 448.0, 2.0**-9, -1.0]
    assert TABLES["F8_E5M2"][[0x3C, 0x7B, 0x01]].tolist() == [1.0, 57344.0, 2.0**-16]
    assert TABLES["F8_E8M0"][[0, 127, 254]].tolist() == [2.0**-127, 1.0, 2.0**127]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_as_from_float32(kind: str, tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path / "model", kind)
    outputs = []
    for source in (folder, folder / "plain"):
        plan = plan_conversion(source, [], parse_outtype("Q8_0"))
        merge(plan, tmp_path / "out.gguf", memory=130_000_000)
        outputs.append(read_tensors(tmp_path / "out.gguf"))
        if source == folder:
            assert any("quantized already" in warning for warning in plan.warnings)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_from_anywhere(kind: str, tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path / "model", kind)
    tensor = open_base(folder).tensors[f"{UP}.weight"]
    wanted = open_base(folder / "plain").tensors[f"{UP}.weight"]
    assert isinstance(tensor, ScaledTensor)
    assert np.array_equal(tensor.read_all(), wanted.read_all())
    for first, count in [(0, 1), (1, 127), (127, 2), (100, 200), (319, 1), (5, 0)]:
        assert np.array_equal(tensor.read(first, count), wanted.read(first, count))
    assert np.array_equal(tensor.read_columns(3, 20), wanted.read_columns(3, 20))


@given(first=st.integers(0, 319), count=st.integers(0, 320))
def test_any_rows_of_blocks(float8_folder: Path, first: int, count: int) -> None:
    tensor = open_base(float8_folder).tensors[f"{UP}.weight"]
    count = min(count, tensor.rows - first)
    assert np.array_equal(tensor.read(first, count), tensor.read()[first : first + count])


def test_an_adapter_is_added_to_the_dequantized_weights(
    float8_folder: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tensors: dict[str, Entry] = {}
    for part, shape in (("A", (4, 192)), ("B", (320, 4))):
        values = random.normal(size=shape).astype(np.float32)
        tensors |= float32(f"base_model.model.{UP}.lora_{part}.weight", values)
    write_safetensors(adapter / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["up_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    outputs = []
    for folder in (float8_folder, float8_folder / "plain"):
        convert_folder(folder, "F32", tmp_path / "out.gguf", adapter)
        outputs.append(read_tensors(tmp_path / "out.gguf"))
    assert outputs[0] == outputs[1]


def test_inspect_shows_the_types(float8_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(float8_folder)]) == 0
    shown = capsys.readouterr().out
    assert "14 F8_E4M3" in shown
    assert "14 scales of activations are left out" in shown


def test_float8_without_scales_and_config(tmp_path: Path) -> None:
    """As ``model.to(torch.float8_e4m3fn)`` saves it."""
    folder = tidy_folder(tmp_path / "model", dtype="F32")
    codes = np.arange(96 * 64, dtype=np.int64).reshape(96, 64) % 127
    add_tensors(folder, {f"{UP}.weight": ("F8_E4M3", (96, 64), codes.astype(np.uint8).tobytes())})
    norm = codes[0].astype(np.uint8).tobytes()
    add_tensors(folder, {"model.norm.weight": ("F8_E4M3", (64,), norm)})
    tensors = open_base(folder).tensors
    assert np.array_equal(tensors[f"{UP}.weight"].read_all(), E4M3[codes])
    assert np.array_equal(tensors["model.norm.weight"].read_all(), E4M3[codes[0]])
    set_config(folder, quantization_config={"quant_method": "fp8"})
    assert "is F8_E4M3" in refusal(folder)


def changed(
    folder: Path, target: Path, **entries: tuple[str, tuple[int, ...], bytes] | None
) -> Path:
    """A copy of a folder with other parts of one quantized weight; None removes one."""
    tidy_folder(target, hidden_size=192, intermediate_size=320)
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = stored(folder / SINGLE)
    for part, entry in entries.items():
        tensors.pop(f"{UP}.{part}", None)
        if entry is not None:
            tensors[f"{UP}.{part}"] = entry
    write_safetensors(target / SINGLE, tensors)
    return target


@pytest.mark.parametrize(
    ("part", "entry", "wrong"),
    [
        ("weight_scale_inv", None, "is F8_E4M3 and has 0 scales"),
        ("weight_scale", ("F32", (1,), b"\0" * 4), "is F8_E4M3 and has 2 scales"),
        ("weight_scale_inv", ("F32", (7, 5), b"\0" * 140), "do not divide it into blocks"),
        ("weight_scale_inv", ("F32", (4, 2), b"\0" * 32), "do not divide it into blocks"),
        ("weight_scale_inv", ("F32", (0, 2), b""), "do not divide it into blocks"),
        ("weight_scale_inv", ("I32", (1,), b"\0" * 4), "have the type I32"),
        ("weight_scale_inv", ("F32", (2, 2, 1), b"\0" * 16), "do not divide it into blocks"),
        ("weight", None, "belongs to no quantized tensor"),
        ("weight", ("BF16", (320, 192), b"\0" * 122880), "belongs to no quantized tensor"),
        ("weight", ("I8", (320, 192), b"\0" * 61440), "packed FP4"),
        ("weight", ("F8_E4M3", (192,), b"\0" * 192), "not known"),
        ("weight_zero_point", ("F32", (3,), b"\0" * 12), "zero points of"),
        ("weight_g_idx", ("I32", (1,), b"\0" * 4), "reordered columns"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    part: str,
    entry: Entry | None,
    wrong: str,
    float8_folder: Path,
    tmp_path: Path,
) -> None:
    message = refusal(changed(float8_folder, tmp_path / "model", **{part: entry}))
    assert wrong in message
    assert UP in message


@pytest.mark.parametrize(
    ("part", "entry", "wrong"),
    [
        ("weight_packed", ("I32", (320, 18), b"\0" * 23040), "3 bits a weight"),
        ("weight_packed", ("U8", (320, 96), b"\0" * 30720), "is quantized with MXFP4"),
        ("weight_scale", None, "has 0 scales"),
        ("weight_zero_point", ("I32", (39, 3), b"\0" * 468), "zero points of"),
        ("weight_packed", None, "belongs to no quantized tensor"),
        ("weight_packed", ("F32", (320, 24), b"\0" * 30720), "belongs to no quantized tensor"),
    ],
)
def test_packed_parts_that_do_not_fit_are_named(
    part: str,
    entry: Entry | None,
    wrong: str,
    packed_folder: Path,
    tmp_path: Path,
) -> None:
    assert wrong in refusal(changed(packed_folder, tmp_path / "model", **{part: entry}))


PARTS = ["weight", "weight_packed", "weight_scale", "weight_scale_inv", "weight_zero_point", "bias"]
TYPES = {"F8_E4M3": 1, "I8": 1, "U8": 1, "I32": 4, "F32": 4, "BF16": 2, "F8_E8M0": 1, "BOOL": 1}


@settings(deadline=None)
@given(
    parts=st.dictionaries(
        st.sampled_from(PARTS),
        st.tuples(
            st.sampled_from(sorted(TYPES)),
            st.lists(st.sampled_from([0, 1, 2, 3, 24, 40, 48, 192, 320]), max_size=3),
        ),
    ),
    block=st.none() | st.lists(st.integers(-1, 200) | st.text(max_size=1), max_size=3),
)
def test_any_parts_are_read_in_the_shape_of_the_model_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    parts: dict[str, tuple[str, list[int]]],
    block: list[object] | None,
) -> None:
    tensors: dict[str, Tensor] = {}
    file = tmp_path_factory.mktemp("parts") / "x.safetensors"
    entries = {
        f"{UP}.{part}": (dtype, tuple(shape), b"\1" * (TYPES[dtype] * math.prod(shape)))
        for part, (dtype, shape) in parts.items()
    }
    write_safetensors(file, {**entries, **float32("end", np.ones(1, np.float32))})
    tensors.update(read_safetensors(file))
    config = {"quant_method": "fp8", "weight_block_size": block, "config_groups": {"a": block}}
    read: dict[str, Tensor] = {}
    message = ""
    try:
        read, _ = read_quantized(file, tensors, {f"{UP}.weight": (320, 192)}, config)
    except ConvertError as error:
        message = str(error)
    assert "\n" not in message
    for tensor in read.values():
        if isinstance(tensor, ScaledTensor):
            assert tensor.read().shape == (tensor.rows, tensor.columns)
            assert np.array_equal(tensor.read()[1:2], tensor.read(1, min(1, tensor.rows - 1)))


def test_a_scale_of_nan_is_noticed(float8_folder: Path, tmp_path: Path) -> None:
    scale = np.full((3, 2), np.nan, np.float32)
    entry = float32("weight_scale_inv", scale)["weight_scale_inv"]
    folder = changed(float8_folder, tmp_path / "model", weight_scale_inv=entry)
    with pytest.raises(ConvertError, match="contains NaN"):
        merge(plan_conversion(folder, [], parse_outtype("F16")), tmp_path / "out.gguf")


def test_a_strict_output_is_the_same_file(float8_folder: Path, tmp_path: Path) -> None:
    outputs = []
    for folder in (float8_folder, float8_folder / "plain"):
        plan = plan_conversion(folder, [], parse_outtype("F32"), ConversionOptions(strict=True))
        output = tmp_path / "out.gguf"
        merge(plan, output)
        outputs.append(output.read_bytes().replace(b"Plain", b"Model"))
    assert outputs[0] == outputs[1]
