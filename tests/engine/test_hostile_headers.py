"""GGUF headers made to harm are refused in one line, before llama.cpp sees the file."""

from __future__ import annotations

import random
import resource
import struct
from pathlib import Path

import pytest

from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama.gguf_header import read_header, read_tensors
from tests.convert.hostile.readers import READERS
from tests.convert.test_hostile_files import HOSTILE_GGUFS, key
from tests.engine import model_files

READABLE = ("an alpha", "sizes that are texts", "a type that ggml", "an architecture", "no dim")
"""Cases that only a conversion cannot use."""


def refusal(file: Path) -> str:
    """Why the header of ``file`` is refused; empty if it is read."""
    try:
        read_header(str(file))
        read_tensors(str(file))
    except ModelFileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [name for name in HOSTILE_GGUFS if not name.startswith(READABLE)])
def test_a_hostile_header_is_refused_or_has_no_values(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(HOSTILE_GGUFS[name])
    why = refusal(file)
    assert "x.gguf" in why if why else read_header(str(file)).layers == 0
    assert "\n" not in why


def test_an_array_that_a_sparse_file_has_no_memory_for_is_refused(tmp_path: Path) -> None:
    count, file = 60_000_000, tmp_path / "x.gguf"
    array = key(b"a", 9, struct.pack("<IQ", 8, count))
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array)
    with file.open("r+b") as opened:
        opened.truncate(8 * count + 1000)
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ModelFileError, match="damaged"):
        read_header(str(file))
    assert resource.getrlimit(resource.RLIMIT_DATA) == limit


def test_headers_that_are_nearly_valid_are_read_or_refused(tmp_path: Path) -> None:
    reader, file = READERS["gguf-model"], tmp_path / "x.gguf"
    seeds = reader.seeds(tmp_path)
    for number in range(300):
        rng = random.Random(f"header {number}")
        file.write_bytes(reader.mutate(rng, rng.choice(seeds)))
        assert "\n" not in refusal(file)


@pytest.mark.parametrize("digits", ["²", "٣", "9" * 6000, "9" * 12, "-1", "1e3", ""])
@pytest.mark.parametrize("name", ["general.file_type", "llama.context_length"])
def test_a_number_that_is_no_number_counts_as_missing(
    name: str, digits: str, tmp_path: Path
) -> None:
    texts = {"general.architecture": "llama", name: digits, "tokenizer.ggml.tokens": "["}
    keys = b"".join(model_files.key(name, value) for name, value in texts.items())
    content = model_files.header(keys=len(texts)) + keys + bytes(64)
    header = read_header(str(model_files.write(tmp_path, "x", content)))
    assert (header.context_length, header.vocabulary) == (0, 0)
    assert header.quantization == "unknown"
