"""The readers of untrusted files, each with valid seeds and a way to change them."""

from __future__ import annotations

import io
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baize_convert.budget import choose_budget
from baize_convert.cli.json_results import plan_object
from baize_convert.hub.answers import parse_info
from baize_convert.hub.names import HubName
from baize_convert.inspect import describe
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.imatrix_file import read_imatrix
from baize_convert.sources.tensors import ITEM_BYTES, Tensor
from baize_convert.vocabulary.sentencepiece_model import read_sentencepiece_model
from tests.convert.hostile.mutations import mutate_bytes, mutate_json, mutate_pickle
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import convert_folder, read_safetensors, read_torch_file

PLAIN = FOLDER / "plain"
Mutate = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Reader:
    """``seeds`` are made in a folder; ``read`` gets a file with a mutated seed."""

    seeds: Callable[[Path], list[bytes]]
    mutate: Mutate
    read: Callable[[Path], object]
    file: str = "input"
    """The name of the file, inside the folder that ``prepare`` makes."""
    prepare: Callable[[Path], object] = lambda folder: folder.mkdir()


def _files(*files: Path) -> Callable[[Path], list[bytes]]:
    return lambda _: [file.read_bytes() for file in files]


def _read_all(tensors: dict[str, Tensor]) -> None:
    for tensor in tensors.values():
        if tensor.dtype in ITEM_BYTES:
            tensor.read_all()


# --- seeds --------------------------------------------------------------------------------------


def _gguf_models(folder: Path) -> list[bytes]:
    file = folder / "seed.gguf"
    result = []
    for outtype in ("F16", "Q8_0"):
        convert_folder(BASE, outtype, file)
        result.append(file.read_bytes())
    return result


def _gguf_adapters(folder: Path) -> list[bytes]:
    file = folder / "seed-adapter.gguf"
    write_adapter(open_base(BASE), open_adapter(PLAIN), file)
    return [file.read_bytes()]


def _sentencepiece(_: Path) -> list[bytes]:
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁the", "泽", "e"]
    return [b"".join(_piece(text, -float(id)) for id, text in enumerate(texts))]


def _piece(text: str, score: float) -> bytes:
    body = b"\x0a" + bytes([len(text.encode())]) + text.encode()
    body += b"\x15" + struct.pack("<f", score) + b"\x18\x01"
    return b"\x0a" + bytes([len(body)]) + body


def _cards(_: Path) -> list[bytes]:
    text = """---
license: [mit, apache-2.0]
base_model: owner/name
datasets: &d [a/b, {name: c}]
tags: *d
language: no
version: 2024-01-01
model_name: {a: [1, 2]}
---
# Model
"""
    return [text.encode()]


def _infos(_: Path) -> list[bytes]:
    files = b",".join(
        b'{"rfilename": "%s"}' % name for name in (b"config.json", b"a/b.json", b"x.gguf")
    )
    return [b'{"_id": "1", "sha": "%s", "siblings": [%s], "tags": []}' % (b"0a" * 20, files)]


# --- mutations ----------------------------------------------------------------------------------


def _mutate_header(rng: random.Random, raw: bytes) -> bytes:
    """Of safetensors: the JSON in it, or any bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(rng, raw)
    (length,) = struct.unpack_from("<Q", raw)
    header = mutate_json(rng, raw[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + raw[8 + length :]


def _mutate_zip(rng: random.Random, raw: bytes) -> bytes:
    """Of PyTorch's zip: the pickle in it, or any bytes, most of all those of the directory."""
    if rng.random() < 0.4:
        start = raw.rfind(b"PK\1\2") - 400 if rng.random() < 0.5 else 0
        return raw[:start] + mutate_bytes(rng, raw[start:])
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(output, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            changed = mutate_pickle(rng, content) if name.endswith("/data.pkl") else content
            target.writestr(name, changed)
    return output.getvalue()


def _mutate_legacy(rng: random.Random, raw: bytes) -> bytes:
    length = min(len(raw), 4096)  # the pickles are at the beginning
    return mutate_bytes(rng, raw[:length]) + raw[length:]


def _mutate_head(rng: random.Random, raw: bytes) -> bytes:
    """Of a GGUF: header, keys and tensors, which come before the data."""
    length = rng.choice((64, 1024, len(raw) // 4, len(raw)))
    start = rng.randrange(0, max(len(raw) // 4, 1)) if rng.random() < 0.5 else 0
    return raw[:start] + mutate_bytes(rng, raw[start : start + length]) + raw[start + length :]


# --- reading ------------------------------------------------------------------------------------


def _plan(file: Path) -> object:
    plan = plan_conversion(file.parent, [], parse_outtype("Q8_0"))
    return plan_object(plan, choose_budget(plan.layout), 0.0)


def _plan_adapter(file: Path) -> object:
    return plan_conversion(BASE, [open_adapter(file.parent)], parse_outtype("Q8_0"))


def _read_gguf_model(file: Path) -> None:
    _read_all(dict(open_base(file).tensors))
    describe(file)
    plan_conversion(file, [], parse_outtype("Q8_0"))


def _read_gguf_adapter(file: Path) -> None:
    plan_conversion(BASE, [open_adapter(file)], parse_outtype("Q8_0"))


def _copy(source: Path) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        shutil.copytree(source, folder)
        for file in folder.glob("*.bin"):
            file.unlink()

    return prepare


def _in_base(name: str, mutate: Mutate = mutate_json) -> Reader:
    return Reader(_files(BASE / name), mutate, _plan, name, _copy(BASE))


def _prepare_index(folder: Path) -> None:
    shutil.copytree(BASE, folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")


def _indexes(_: Path) -> list[bytes]:
    names = read_safetensors(BASE / "model.safetensors")
    shard = "model-00001-of-00001.safetensors"
    entries = ", ".join(f'"{name}": "{shard}"' for name in names)
    return [f'{{"metadata": {{"total_size": 1}}, "weight_map": {{{entries}}}}}'.encode()]


READERS: dict[str, Reader] = {
    "safetensors": Reader(
        _files(PLAIN / "adapter_model.safetensors", FOLDER / "views.safetensors"),
        _mutate_header,
        lambda file: _read_all(dict(read_safetensors(file))),
    ),
    "torch-zip": Reader(
        _files(PLAIN / "adapter_model.bin", FOLDER / "views.bin"),
        _mutate_zip,
        lambda file: _read_all(dict(read_torch_file(file))),
    ),
    "torch-legacy": Reader(
        _files(PLAIN / "legacy.bin"),
        _mutate_legacy,
        lambda file: _read_all(dict(read_torch_file(file))),
    ),
    "gguf-model": Reader(_gguf_models, _mutate_head, _read_gguf_model),
    "gguf-adapter": Reader(_gguf_adapters, _mutate_head, _read_gguf_adapter),
    "imatrix": Reader(
        _files(FOLDER / "imatrix.dat", FOLDER / "imatrix.gguf"), mutate_bytes, read_imatrix
    ),
    "sentencepiece": Reader(_sentencepiece, mutate_bytes, read_sentencepiece_model),
    "config": _in_base("config.json"),
    "generation-config": _in_base("generation_config.json"),
    "tokenizer": _in_base("tokenizer.json"),
    "tokenizer-config": _in_base("tokenizer_config.json"),
    "model-card": Reader(_cards, mutate_bytes, _plan, "README.md", _copy(BASE)),
    "index": Reader(_indexes, mutate_json, _plan, "model.safetensors.index.json", _prepare_index),
    "adapter-config": Reader(
        _files(PLAIN / "adapter_config.json", FOLDER / "tokens" / "adapter_config.json"),
        mutate_json,
        _plan_adapter,
        "adapter_config.json",
        _copy(PLAIN),
    ),
    "hub-info": Reader(
        _infos, mutate_json, lambda file: parse_info(HubName("owner/name"), file.read_bytes())
    ),
}
"""By name."""
