"""Files made to harm are one clear line, in little time and memory, and overwrite nothing.

The cases that were seen are tests of their own. The rest are thousands of inputs that are nearly
valid, read by processes with limits: see ``tests/convert/hostile``.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.inspect import describe
from baize_convert.merge import merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.small_files import check_small_files
from baize_convert.vocabulary.sentencepiece_model import read_sentencepiece_model
from tests.convert.hostile.limited_run import MEMORY
from tests.convert.hostile.readers import READERS
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, read_torch_file
from tests.sweeps import swept
from tests.warm_start import PROGRAMS, as_text

F16 = parse_outtype("F16")
PLAIN = FOLDER / "plain"
MINE = b"a file that must stay as it is"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "base"))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PLAIN, tmp_path / "adapter"))


# --- thousands of inputs that are nearly valid ----------------------------------------------------


def read_mutated(reader: str, first: int, count: int, folder: Path) -> dict[str, Any]:
    """Read inputs in a process that ends if one of them takes too much time or memory."""
    module = "tests.convert.hostile.limited_run"
    arguments = [reader, str(first), str(count), str(folder)]
    done = as_text(PROGRAMS.run(module, arguments, os.environ))
    at = (folder / "number").read_text()
    assert done.returncode == 0, f"input {at} of {reader} ended the process: {done.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    assert "problem" not in result, f"input {at} of {reader}: {result['problem']}"
    return result


NAMES = (*READERS, "hub")
FEW, MANY, ALL = 25, 500, 5000
"""Inputs per reader: in ``make test``, at once, and in ``make test-all``."""
FIRST = [(name, 0, FEW) for name in NAMES]
REST = [(name, first, MANY) for name in NAMES for first in range(FEW, ALL, MANY)]


@pytest.mark.parametrize(("reader", "first", "count"), swept([*FIRST, *REST], *FIRST))
def test_inputs_that_are_nearly_valid_are_read_or_refused(
    reader: str, first: int, count: int, tmp_path: Path
) -> None:
    result = read_mutated(reader, first, count, tmp_path)
    assert result["inputs"] == count
    assert result["resident"] < MEMORY


# --- numbers in configs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rms_norm_eps", "1e300"),
        ("rms_norm_eps", "-1e-6"),
        ("rms_norm_eps", "1e-300"),
        ("rms_norm_eps", "NaN"),
        ("rms_norm_eps", "1e999"),
        ("rms_norm_eps", "true"),
        ("rope_theta", "0"),
        ("rope_theta", "1e39"),
        ("rope_theta", "-Infinity"),
        ("hidden_size", "-32"),
        ("hidden_size", "1e3"),
        ("hidden_size", "true"),
        ("hidden_size", "9" * 5000),
        ("num_attention_heads", "0"),
        ("num_key_value_heads", "-4"),
        ("num_hidden_layers", str(2**64)),
        ("head_dim", str(2**40)),
        ("vocab_size", str(2**31 - 1)),
        ("intermediate_size", "-1"),
        ("max_position_embeddings", str(2**32)),
        ("rope_scaling", '{"rope_type": "linear", "factor": 1e300}'),
        ("rope_scaling", '{"rope_type": "yarn", "factor": 2.0, "beta_fast": 1e300}'),
    ],
)
def test_a_number_that_no_model_has_is_refused_by_its_key(
    key: str, value: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((base / "config.json").read_text())
    text = json.dumps({**config, key: "@"}).replace('"@"', value)
    (base / "config.json").write_text(text)
    assert run(["plan", str(base)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"baize-convert: {base / 'config.json'}: ")
    assert message.count("\n") == 1
    assert key in message or "JSON is malformed" in message or "out of range" in message


@pytest.mark.parametrize(("key", "value"), [("lora_alpha", 1e300), ("r", -1), ("r", 2**40)])
def test_a_number_that_no_adapter_has_is_refused_by_its_key(
    key: str, value: float, adapter: Path
) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ConvertError, match=rf"adapter_config\.json: {key} is "):
        open_adapter(adapter)


def test_a_sampling_number_that_gguf_cannot_store_is_named(base: Path) -> None:
    (base / "generation_config.json").write_text('{"top_k": 1e30}')
    with pytest.raises(ConvertError, match=r"generation_config\.json: top_k is 1e\+30"):
        plan_conversion(base, [], F16)


# --- pickles and zips -----------------------------------------------------------------------------


def write_zip(file: Path, program: bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/data/0", b"\0" * 64)
    return file


def nested_key(depth: int) -> bytes:
    """A dictionary whose key is a tuple of a tuple twice, of a tuple twice …: 2^depth to hash."""
    doubled = b"".join(b"h%c\x86q%c" % (level, level + 1) for level in range(depth))
    return b"\x80\x02}K\x01q\x00" + doubled + b"K\x01s."


HOSTILE_PICKLES = {
    "a key that takes years to hash": nested_key(100),
    "a memo of four billion": b"\x80\x02]r\xff\xff\xff\xff.",
    "lists in lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "tuples in tuples": b"\x80\x02N" + b"\x85" * 2_000_000 + b".",
    "a number of 255 bytes": b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
    "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "a text of four billion bytes": b"\x80\x02X\xff\xff\xff\xff.",
    "a list copied again and again": (
        b"\x80\x02(" + b"KA" * 300_000 + b"lq\x00" + b"ccollections\nOrderedDict\nh\x00\x85R" * 99
    ),
    "a name made of lists": b"\x80\x04]]\x93.",
    "names of 5000 bytes": b"c" + b"a" * 5000 + b"\nb\n.",
    "a shape of a hundred thousand": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N" + b"K\0(" + b"K\x01" * 100_000 + b"ttR."
    ),
    "a mark that is not there": b"\x80\x02t.",
    "nothing to pop": b"\x80\x02a.",
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_a_pickle_that_would_take_all_time_or_memory_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConvertError) as error:
        read_torch_file(write_zip(tmp_path / "x.bin", HOSTILE_PICKLES[name]))
    assert "\n" not in str(error.value)


def torch_zip(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    file = folder / "x.bin"
    file.write_bytes(change((PLAIN / "adapter_model.bin").read_bytes()))
    return file


def directory_offset(raw: bytes) -> int:
    return int(struct.unpack_from("<L", raw, raw.rfind(b"PK\5\6") + 16)[0])


def count_of_65000(raw: bytes) -> bytes:
    at = raw.rfind(b"PK\6\6") + 24
    return raw[:at] + struct.pack("<QQ", 65000, 65000) + raw[at + 16 :]


def two_entries_in_one_place(raw: bytes) -> bytes:
    first = directory_offset(raw)
    second = raw.find(b"PK\1\2", first + 4)
    header = raw[first + 42 : first + 46]
    return raw[: second + 42] + header + raw[second + 46 :]


def a_name_that_differs(raw: bytes) -> bytes:
    at = raw.find(b"data.pkl")
    return raw[:at] + b"data.pkx" + raw[at + 8 :]


@pytest.mark.parametrize(
    "change", [count_of_65000, two_entries_in_one_place, a_name_that_differs, lambda raw: raw[:-30]]
)
def test_a_zip_that_contradicts_itself_is_refused(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    with pytest.raises(ConvertError, match=r"x\.bin"):
        read_torch_file(torch_zip(tmp_path, change))


def test_a_zip_with_64_bit_numbers_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    with (
        zipfile.ZipFile(PLAIN / "adapter_model.bin") as source,
        zipfile.ZipFile(file, "w") as target,
    ):
        for name in source.namelist():
            with target.open(name, "w", force_zip64=True) as entry:
                entry.write(source.read(name))
    assert set(read_torch_file(file)) == set(read_torch_file(PLAIN / "adapter_model.bin"))


# --- JSON -----------------------------------------------------------------------------------------

DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", DEEP),
        ("config.json", f'{{"rope_scaling": {DEEP}}}'),
        ("tokenizer.json", f'{{"pre_tokenizer": {DEEP}}}'),
        ("tokenizer_config.json", f'{{"added_tokens_decoder": {DEEP}}}'),
        ("generation_config.json", DEEP),
        ("tokenizer_config.json", r'{"chat_template": "\ud800"}'),
        ("config.json", '{"architectures": ["\\ud800"]}'),
    ],
)
def test_deep_json_and_text_that_is_no_unicode_are_one_line(
    file: str, text: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / file).write_text(text)
    assert run(["plan", str(base)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"[" + b"[]," * 1_100_000 + b"0]"),
        ("added_tokens.json", b"[" + b"0," * 2_200_000 + b"0]"),
        ("chat_template.jinja", b" " * (1 << 20) + b" "),
        ("merges.txt", b" " * (17 << 20)),
    ],
)
def test_a_file_read_whole_is_no_larger_than_any_real_one(
    name: str, content: bytes, base: Path
) -> None:
    (base / name).write_bytes(content)
    with pytest.raises(ConvertError, match=name):
        open_base(base)


def test_a_pipe_in_a_folder_is_not_waited_for(base: Path) -> None:
    (base / "config.json").unlink()
    os.mkfifo(base / "config.json")
    with pytest.raises(ConvertError, match="not a regular file"):
        check_small_files(base)
    with pytest.raises(ConvertError, match="not a regular file"):
        open_base(base)
    with pytest.raises(ConvertError, match="not a regular file"):
        MappedFile(base / "config.json")


def test_a_folder_and_a_file_with_names_that_are_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff\xfese"))
    shutil.copytree(BASE, folder)
    shard = os.fsdecode(b"model-\xff.safetensors")
    (folder / "model.safetensors").rename(folder / shard)
    (folder / "model.safetensors").symlink_to(shard)
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xff.gguf"))
    merge(plan_conversion(folder, [], F16), output)
    assert describe(output).kind == "GGUF model"


# --- safetensors and SentencePiece ----------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"{" + b",".join(b'"%d":{}' % i for i in range(400_000)) + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":{"dtype":"F32","shape":[' + b"1," * 400_000 + b'1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}}',
        b'{"a\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ],
)
def test_a_header_of_objects_or_of_impossible_numbers_is_refused(
    header: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    with pytest.raises(ConvertError, match=r"x\.safetensors"):
        read_safetensors(file)


def test_any_texts_are_metadata_of_safetensors(tmp_path: Path) -> None:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    metadata = {"shape": "wide", "dtype": "float", "data_offsets": "none", "steps": "1"}
    header = json.dumps({"__metadata__": metadata, "a": tensor}).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    assert list(read_safetensors(file)) == ["a"]


def test_a_sentencepiece_model_of_a_million_empty_pieces_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(b"\x0a\0" * 1_000_000)
    with pytest.raises(ConvertError, match="not a SentencePiece model"):
        read_sentencepiece_model(file)


# --- GGUF -----------------------------------------------------------------------------------------


def gguf(keys: bytes = b"", count: int = 0, tensors: bytes = b"", tensor_count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensor_count, count) + keys + tensors + b"\0" * 256


def key(name: bytes, type: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", type) + value


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def info(name: bytes, shape: tuple[int, ...], type: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", type, offset)


ADAPTER = key(b"general.type", 8, text(b"adapter")) + key(b"adapter.type", 8, text(b"lora"))
HOSTILE_GGUFS = {
    "an alignment of 0": gguf(key(b"general.alignment", 4, struct.pack("<I", 0)), 1),
    "four billion keys": gguf(b"", 2**32),
    "a length of 2^64 - 1": gguf(struct.pack("<Q", 2**64 - 1), 1),
    "an array of 2^63": gguf(key(b"a", 9, struct.pack("<IQ", 8, 2**63)), 1),
    "three million empty texts": gguf(
        key(b"a", 9, struct.pack("<IQ", 8, 3_000_000) + b"\0" * 24_000_000), 1
    ),
    "arrays of arrays": gguf(key(b"a", 9, struct.pack("<IQ", 9, 1) * 1000), 1),
    "an unknown type of key": gguf(key(b"a", 77, b"\0" * 8), 1),
    "the same key twice": gguf(key(b"a", 4, b"\0" * 4) * 2, 2),
    "an unknown type of tensor": gguf(tensors=info(b"a", (1,), 999, 0), tensor_count=1),
    "a type that ggml cannot read": gguf(tensors=info(b"a", (2, 2), 26, 0), tensor_count=1),
    "a size beyond 2^64": gguf(tensors=info(b"a", (2**40, 2**40), 0, 0), tensor_count=1),
    "a dimension of 0": gguf(tensors=info(b"a", (0, 4), 0, 0), tensor_count=1),
    "no dimensions": gguf(tensors=info(b"a", (), 0, 0), tensor_count=1),
    "a million dimensions": gguf(tensors=text(b"a") + struct.pack("<I", 10**6), tensor_count=1),
    "tensors in one place": gguf(
        tensors=info(b"a", (4,), 0, 0) + info(b"b", (4,), 0, 0), tensor_count=2
    ),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + b"\0" * 64,
    "an alpha that is a text": gguf(
        ADAPTER
        + key(b"general.architecture", 8, text(b"llama"))
        + key(b"adapter.lora.alpha", 8, text(b"x")),
        4,
    ),
    "an alpha that is no number": gguf(
        ADAPTER
        + key(b"general.architecture", 8, text(b"llama"))
        + key(b"adapter.lora.alpha", 6, struct.pack("<f", float("nan"))),
        4,
    ),
    "sizes that are texts": gguf(
        key(b"general.architecture", 8, text(b"llama"))
        + key(b"llama.embedding_length", 8, text(b"32")),
        2,
    ),
    "an architecture that is a list": gguf(
        key(b"general.architecture", 9, struct.pack("<IQ", 4, 1) + b"\0" * 4), 1
    ),
}


@pytest.mark.parametrize("name", HOSTILE_GGUFS)
def test_a_hostile_gguf_is_refused_as_base_and_as_adapter(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(HOSTILE_GGUFS[name])
    for read in (open_base, open_adapter):
        with pytest.raises(ConvertError, match=r"x\.gguf"):
            read(file)


# --- files of others in the way -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".partial", ".partial.journal"])
@pytest.mark.parametrize("hard", [False, True], ids=["link", "hard link"])
def test_a_merge_writes_to_no_file_that_a_link_names(
    suffix: str, hard: bool, tmp_path: Path
) -> None:
    victim, output = tmp_path / "victim", tmp_path / "out.gguf"
    plan = plan_conversion(BASE, [], F16)
    victim.write_bytes(MINE.ljust(plan.layout.length if hard else len(MINE)))
    before = victim.read_bytes()
    planted = tmp_path / f"out.gguf{suffix}"
    planted.hardlink_to(victim) if hard else planted.symlink_to(victim)
    merge(plan, output)
    assert victim.read_bytes() == before
    assert output.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"out.gguf", "victim"}


def test_an_adapter_file_is_written_to_no_file_that_a_link_names(tmp_path: Path) -> None:
    victim, output = tmp_path / "victim", tmp_path / "lora.gguf"
    victim.write_bytes(MINE)
    (tmp_path / "lora.gguf.partial").symlink_to(victim)
    write_adapter(open_base(BASE), open_adapter(PLAIN), output)
    assert victim.read_bytes() == MINE
    assert output.stat().st_mode & 0o777 == 0o600


def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Path) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("baize_convert.cli.actions.describe", broken)
    assert run(["inspect", str(BASE)]) == 1
    log = home / "logs" / "baize-convert.log"
    assert capsys.readouterr().err == (
        f"baize-convert: unexpected error: RuntimeError: no such luck; the traceback is in {log}\n"
    )
    assert "Traceback" in log.read_text()
