"""GGUF headers made to harm are refused in one line, before llama.cpp sees the file."""

from __future__ import annotations

import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama.gguf_header import read_header, read_tensors
from baize_tui.engine.llama.model import Model
from tests.convert.hostile.gguf_parts import (
    ARRAY,
    FLOAT32,
    I32,
    UINT32,
    GgufParts,
    Key,
    read_parts,
    read_texts,
    text_bytes,
    texts_bytes,
)
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


# --- what llama.cpp would abort at ----------------------------------------------------------------

Change = Callable[[GgufParts], object]


def number(name: str, value: int) -> Change:
    return lambda parts: parts.set_key(f"llama.{name}", UINT32, struct.pack("<I", value))


def decimal(name: str, value: float) -> Change:
    return lambda parts: parts.set_key(f"llama.{name}", FLOAT32, struct.pack("<f", value))


def several(*changes: Change) -> Change:
    def change(parts: GgufParts) -> None:
        for each in changes:
            each(parts)

    return change


def numbers(name: str, *values: int) -> Change:
    value = struct.pack(f"<IQ{len(values)}I", UINT32, len(values), *values)
    return lambda parts: parts.set_key(f"llama.{name}", ARRAY, value)


def _repeat_token(parts: GgufParts) -> None:
    tokens = parts.key("tokenizer.ggml.tokens")
    assert tokens is not None
    texts = read_texts(tokens)
    tokens.value = texts_bytes([*texts[:-1], texts[3]])


def _empty_tokens(parts: GgufParts) -> None:
    tokens = parts.key("tokenizer.ggml.tokens")
    assert tokens is not None
    tokens.value = texts_bytes([*read_texts(tokens)[:-2], b"", b""])


def _make_i32(parts: GgufParts) -> None:
    norm = next(tensor for tensor in parts.tensors if tensor.name == b"output_norm.weight")
    norm.type = I32


def _misplace(parts: GgufParts) -> None:
    parts.set_key("general.alignment", UINT32, struct.pack("<I", 8))
    parts.alignment = 8
    while len(parts.to_bytes()) % 32 == 0:
        parts.keys.append(Key(b"filler", 8, text_bytes(b"x" * 8)))


ABORTS: dict[str, tuple[Change, str]] = {
    "no layers": (number("block_count", 0), "1 to 512 layers"),
    "a thousand layers": (number("block_count", 1000), "1 to 512 layers"),
    "more predicted layers": (number("nextn_predict_layers", 9), "nextn_predict_layers"),
    "a context that has no end": (number("context_length", 2**31), "context_length is 2147483648"),
    "experts without a count": (number("expert_used_count", 2), "uses 2 of 0 experts"),
    "too many experts": (number("expert_count", 5000), "at most 1024"),
    "experts that none uses": (number("expert_count", 8), "uses 0 of 8 experts"),
    "more experts used in a layer": (
        several(number("expert_count", 4), numbers("expert_used_count", 1, 5)),
        "uses 5 of 4 experts",
    ),
    "groups without experts": (number("expert_group_count", 2), "2 groups of 0 experts"),
    "groups of unequal size": (
        several(
            number("expert_count", 9),
            number("expert_used_count", 2),
            number("expert_group_count", 2),
            number("expert_group_used_count", 1),
        ),
        "groups of 9 experts",
    ),
    "a negative epsilon": (decimal("attention.layer_norm_rms_epsilon", -1e-5), "is -1e-05"),
    "an epsilon that is no number": (decimal("attention.layer_norm_epsilon", float("nan")), "nan"),
    "an unknown scaling": (
        lambda parts: parts.set_key("llama.rope.scaling.type", 8, text_bytes(b"x")),
        "rope.scaling.type is 'x'",
    ),
    "a token twice": (_repeat_token, "twice"),
    "weights of integers": (_make_i32, "output_norm.weight has the type I32"),
    "weights between the places of weights": (_misplace, "not at a multiple of 32"),
}


@pytest.mark.parametrize("name", ABORTS)
def test_what_llama_cpp_would_abort_at_is_refused_with_its_reason(
    name: str, tmp_path: Path
) -> None:
    change, reason = ABORTS[name]
    parts = read_parts(READERS["gguf-model"].seeds(tmp_path)[0])
    change(parts)
    file = tmp_path / "x.gguf"
    file.write_bytes(parts.to_bytes())
    assert reason in refusal(file)


def test_tokens_without_text_are_not_the_same(tmp_path: Path) -> None:
    parts = read_parts(READERS["gguf-model"].seeds(tmp_path)[0])
    _empty_tokens(parts)
    file = tmp_path / "x.gguf"
    file.write_bytes(parts.to_bytes())
    assert refusal(file) == ""


def test_a_file_is_checked_again_once_it_has_changed(tmp_path: Path) -> None:
    parts = read_parts(READERS["gguf-model"].seeds(tmp_path)[0])
    file = tmp_path / "x.gguf"
    file.write_bytes(parts.to_bytes())
    assert refusal(file) == ""
    decimal("attention.layer_norm_rms_epsilon", -1.0)(parts)
    file.write_bytes(parts.to_bytes())
    assert "is -1" in refusal(file)


def test_a_vocabulary_that_is_not_of_sentencepiece_is_refused_before_it_reads_a_text(
    smollm2: Path, tmp_path: Path
) -> None:
    parts = read_parts(smollm2.read_bytes())
    parts.set_key("tokenizer.ggml.model", 8, text_bytes(b"llama"))
    scores = struct.pack("<IQ", FLOAT32, 49152) + bytes(4 * 49152)
    parts.set_key("tokenizer.ggml.scores", ARRAY, scores)
    file = tmp_path / "x.gguf"
    file.write_bytes(parts.to_bytes())
    with pytest.raises(ModelFileError, match="no token for a line break"):
        Model(str(file), vocabulary_only=True)
