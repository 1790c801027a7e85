"""Importance matrices: both formats of llama-imatrix, and the bytes that llama-quantize makes."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.plan import ConversionOptions, plan_conversion
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.quantization.outtypes import OUTTYPES, parse_outtype
from baize_convert.sources.imatrix_file import read_imatrix
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import (
    SHAPES,
    convert_folder,
    llama_quantize,
    random_folder,
    read_tensors,
)

BOTH = ("imatrix.gguf", "imatrix.dat")
"""Written by llama-imatrix, built from llama-cpp-python 0.3.36's source, on the F32 of BASE::

    llama-imatrix -m F32.gguf -f TEXT -o imatrix.gguf -c 64 --chunks 4 --process-output
    llama-imatrix -m F32.gguf -f TEXT -o imatrix.dat -c 64 --chunks 4 --process-output \
        --output-format dat
"""


def test_both_formats_of_one_run_are_equal() -> None:
    new, old = (read_imatrix(FOLDER / name) for name in BOTH)
    assert set(new.columns) == set(old.columns)
    assert len(new.columns) == 14
    assert (new.chunks, new.dataset) == (old.chunks, old.dataset) == (4, "cal.txt")
    for name, values in new.columns.items():
        assert np.allclose(values, old.columns[name], rtol=1e-5), name
        assert (values > 0).all()


def test_values_are_sums_over_counts() -> None:
    tensors = {t.name: t.data for t in GGUFReader(FOLDER / "imatrix.gguf").tensors}
    values = read_imatrix(FOLDER / "imatrix.gguf").columns["blk.1.ffn_down.weight"]
    sums, count = (tensors[f"blk.1.ffn_down.weight.{part}"] for part in ("in_sum2", "counts"))
    assert np.array_equal(values, (sums / count).reshape(-1))


@pytest.mark.sweep
def test_every_outtype_is_quantized_as_llama_quantize_does(tmp_path: Path) -> None:
    shape = {**SHAPES["grouped"], "hidden_size": 256, "intermediate_size": 352}
    folder = random_folder(tmp_path / "model", **shape)
    convert_folder(folder, "F32", tmp_path / "f32.gguf")
    shapes = {t.name: t.data.shape for t in GGUFReader(tmp_path / "f32.gguf").tensors}
    generator = np.random.default_rng(5)
    # As llama-imatrix does, without the output, and with one tensor that it never saw.
    columns = {
        name: np.asarray(generator.gamma(0.3, 2.0, shape[1]), np.float32)
        for name, shape in shapes.items()
        if len(shape) > 1 and name not in ("token_embd.weight", "blk.1.ffn_up.weight")
    }
    shutil.copy(FOLDER / "imatrix.gguf", tmp_path)
    imatrix = ImportanceMatrix(tmp_path / "imatrix.gguf", columns)
    for outtype in OUTTYPES.values():
        ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
        plan = plan_conversion(folder, [], outtype, ConversionOptions(imatrix=imatrix))
        merge(plan, ours)
        llama_quantize(tmp_path / "f32.gguf", theirs, int(outtype.file_type), columns)
        assert read_tensors(ours) == read_tensors(theirs), outtype.name
        assert "blk.1.ffn_up.weight among them" in plan.warnings[0]


@pytest.mark.parametrize("name", BOTH)
def test_the_command_and_its_keys(name: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / name, tmp_path)
    arguments = ["merge", str(BASE), "--outtype", "Q4_0", "--imatrix", str(tmp_path / name)]
    assert run([*arguments, "--output", str(tmp_path / "with.gguf")]) == 0
    convert_folder(BASE, "Q4_0", tmp_path / "without.gguf")
    weighted, plain = read_tensors(tmp_path / "with.gguf"), read_tensors(tmp_path / "without.gguf")
    assert weighted["blk.1.ffn_up.weight"] != plain["blk.1.ffn_up.weight"]
    fields = GGUFReader(tmp_path / "with.gguf").fields
    keys = {key: f.contents() for key, f in fields.items() if key.startswith("quantize.")}
    assert keys == {
        "quantize.imatrix.file": name,
        "quantize.imatrix.dataset": "cal.txt",
        "quantize.imatrix.entries_count": 14,
        "quantize.imatrix.chunks_count": 4,
    }


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({"blk.0.attn_q.weight": [1.0] * 64}, "blk.0.attn_q.weight has 64 columns there, 32 here"),
        ({"blk.9.attn_q.weight": [1.0] * 32}, "names no tensor of this one"),
        ({"blk.0.attn_q.weight": [float("nan")] * 32}, "blk.0.attn_q.weight contains NaN"),
    ],
)
def test_a_matrix_of_another_model_is_refused(columns: dict[str, Any], wrong: str) -> None:
    matrix = {name: np.array(values, np.float32) for name, values in columns.items()}
    with pytest.raises(ConvertError, match=wrong):
        options = ConversionOptions(imatrix=ImportanceMatrix(Path("m"), matrix))
        plan_conversion(BASE, [], parse_outtype("Q4_0"), options)


def test_a_gguf_that_is_not_a_matrix(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ConvertError, match="not an importance matrix"):
        read_imatrix(tmp_path / "model.gguf")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_clear_error_or_values(data: st.DataObject, tmp_path: Path) -> None:
    raw = bytearray((FOLDER / data.draw(st.sampled_from(BOTH))).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 4))
    raw[at : at + 4] = data.draw(
        st.sampled_from([struct.pack("<i", n) for n in (-1, 0, 1 << 30)]) | st.binary(max_size=4)
    )
    file = tmp_path / "imatrix"
    file.write_bytes(raw)
    try:
        result = read_imatrix(file)
    except ConvertError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
    else:
        assert result.columns
