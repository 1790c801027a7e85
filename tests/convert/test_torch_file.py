"""PyTorch's .bin files: read without PyTorch, and without running code in them."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_convert.failures import ConvertError
from baize_convert.opening import open_adapter, open_base
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, read_torch_file

PLAIN = FOLDER / "plain"
FORMATS = ("adapter_model.bin", "legacy.bin")


@pytest.mark.parametrize("name", FORMATS)
def test_both_formats_contain_what_safetensors_contains(name: str) -> None:
    """Written by PyTorch itself: see make_goldens.py."""
    wanted = read_safetensors(PLAIN / "adapter_model.safetensors")
    result = read_torch_file(PLAIN / name)
    assert set(result) == set(wanted)
    for key, tensor in wanted.items():
        assert np.array_equal(result[key].read_all(), tensor.read_all())


def test_views_of_one_storage_are_read_row_by_row() -> None:
    """Transposed, cut and strided, as PyTorch saved them."""
    wanted = read_safetensors(FOLDER / "views.safetensors")
    result = read_torch_file(FOLDER / "views.bin")
    assert set(result) == set(wanted)
    for name, tensor in wanted.items():
        assert np.array_equal(result[name].read_all(), tensor.read_all()), name
        assert np.array_equal(result[name].read(1, 1), tensor.read(1, 1)), name


@pytest.mark.parametrize("name", FORMATS)
def test_an_adapter_as_a_bin_is_the_same_adapter(name: str, tmp_path: Path) -> None:
    shutil.copy(PLAIN / "adapter_config.json", tmp_path)
    shutil.copy(PLAIN / name, tmp_path / "adapter_model.bin")
    ours, theirs = open_adapter(tmp_path), open_adapter(PLAIN)
    assert set(ours.changes) == set(theirs.changes)
    for module, change in theirs.changes.items():
        for our, their in ((ours.changes[module].a, change.a), (ours.changes[module].b, change.b)):
            assert our is not None
            assert their is not None
            assert np.array_equal(our.read_all(), their.read_all())


def write_zip(file: Path, program: bytes, *, compressed: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/data/0", b"\0" * 64)
    return file


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_reported_and_never_run(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = pickle.dumps({"weight": Evil()}, protocol)
    for file in (write_zip(tmp_path / "zip.bin", program), tmp_path / "legacy.bin"):
        if file.name == "legacy.bin":
            file.write_bytes(program)
        with pytest.raises(ConvertError, match=r"it would call (posix|os|nt)\.system"):
            read_torch_file(file)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"ctorch\nload\n(S'x'\ntR.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02\x82\x01.",  # an extension registered elsewhere
        b"(i__main__\nEvil\n.",
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo of two billion places
        b"\x80\x02N.",
        b"\x80\x02X\xff\xff\xff\x7f",
        b"",
    ],
)
def test_programs_of_every_kind_are_refused(program: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConvertError) as error:
        read_torch_file(write_zip(tmp_path / "x.bin", program))
    assert "\n" not in str(error.value)


def test_a_compressed_entry_is_refused(tmp_path: Path) -> None:
    """PyTorch stores its entries; a compressed one may be a bomb."""
    with pytest.raises(ConvertError, match="compressed"):
        read_torch_file(write_zip(tmp_path / "x.bin", b"N." * 1000, compressed=True))


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    raw = (PLAIN / name).read_bytes()
    for length in range(1, len(raw), len(raw) // 40):
        file = tmp_path / "x.bin"
        file.write_bytes(raw[:length])
        with pytest.raises(ConvertError, match=r"x\.bin"):
            read_torch_file(file)


@given(st.data())
def test_any_byte_changed_is_a_clear_error_or_other_weights(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from((*FORMATS, "adapter_model.safetensors")))
    read = read_safetensors if name.endswith("safetensors") else read_torch_file
    raw = bytearray((PLAIN / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("fuzz") / "x.bin"
    file.write_bytes(raw)
    try:
        for tensor in read(file).values():
            if tensor.dtype in ("F64", "F32", "F16", "BF16"):
                tensor.read_all()
        message = ""
    except ConvertError as error:
        message = str(error)
    assert "\n" not in message


def test_a_bin_that_is_not_a_model_is_named(tmp_path: Path) -> None:
    shutil.copy(BASE / "config.json", tmp_path)
    shutil.copy(PLAIN / "adapter_model.bin", tmp_path / "pytorch_model.bin")
    with pytest.raises(ConvertError, match="is an adapter: give its folder with --adapter"):
        open_base(tmp_path)


def test_a_checkpoint_of_a_trainer_says_where_its_weights_are(tmp_path: Path) -> None:
    """As Lightning and others save it; it was said to be empty, or that a tensor was missing."""
    with zipfile.ZipFile(PLAIN / "adapter_model.bin") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        program = archive.read(name)
    key = b"X\n\0\0\0state_dict"
    nested = pickle.PROTO + b"\2" + pickle.EMPTY_DICT + key + program[2:-1] + pickle.SETITEM + b"."
    shutil.copy(PLAIN / "adapter_config.json", tmp_path)
    write_zip(tmp_path / "adapter_model.bin", nested)
    with pytest.raises(ConvertError, match=r"inside 'state_dict', .* save torch.load\(file\)"):
        open_adapter(tmp_path)


def test_the_reader_stops_where_its_pickle_ends() -> None:
    """The legacy format is five pickles in a row, then the weights."""
    stream = io.BytesIO((PLAIN / "legacy.bin").read_bytes())
    first = pickle.load(stream)
    assert first == 0x1950A86A20F9469CFC6C
