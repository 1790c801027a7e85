"""The names of models in several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_shared.split_files import (
    missing_file,
    model_bytes,
    model_files,
    model_stem,
    parse_split_name,
)


@pytest.mark.parametrize(
    ("name", "number", "count"),
    [
        ("m-00001-of-00003.gguf", 1, 3),
        ("Q4_K_M/m-Q4-00002-of-00002.gguf", 2, 2),
        ("m-00001-of-00001.gguf", None, None),
        ("m-00004-of-00003.gguf", None, None),
        ("m-00000-of-00003.gguf", None, None),
        ("m-1-of-3.gguf", None, None),
        ("-00001-of-00003.gguf", None, None),
        ("m.gguf", None, None),
    ],
)
def test_names_of_parts(name: str, number: int | None, count: int | None) -> None:
    split = parse_split_name(name)
    assert (split and split.number, split and split.count) == (number, count)
    if split is not None:
        assert split.with_number(split.number) == name


def test_the_files_of_a_model_and_their_size(tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00003.gguf"
    files = model_files(first)
    assert [file.name for file in files[1:]] == ["m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]
    assert model_files(files[1]) == [files[1]]
    assert model_stem(first) == "m"
    for file in files[:2]:
        file.write_bytes(b"12345")
    assert missing_file(first) == files[2]
    with pytest.raises(OSError, match="00003"):
        model_bytes(first)
    files[2].write_bytes(b"1")
    assert (missing_file(first), model_bytes(first)) == (None, 11)
