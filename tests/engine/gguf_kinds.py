"""GGUF files that are no chat models, and the real model in several files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, PoolingType

from baize_convert.sources.gguf_file import copy_key, read_gguf
from baize_shared.split_files import SplitName

Fill = Callable[[GGUFWriter], object]


def write_file(
    file: Path, architecture: str | None, fill: Fill = lambda _: None, *, tensors: bool = True
) -> Path:
    """A small GGUF with the keys that ``fill`` adds; None for a file without an architecture."""
    writer = GGUFWriter(file, architecture or "")
    fill(writer)
    if tensors:
        writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_sizes(writer: GGUFWriter) -> None:
    """What a header says of a decoder of one layer."""
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)


def add_vocabulary(writer: GGUFWriter) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(f"{i}".encode() for i in range(5))])
    writer.add_token_scores([0.0] * 8)
    writer.add_token_types([2, 3, 3, 1, 1, 1, 1, 1])


def _with_sizes(*more: Fill) -> Fill:
    def fill(writer: GGUFWriter) -> None:
        for add in (add_sizes, add_vocabulary, *more):
            add(writer)

    return fill


def other_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files of other kinds by name, each with what its message must say."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(
        name: str, architecture: str | None, fill: Fill, named: str, *, tensors: bool = True
    ) -> None:
        file = folder / f"{name}.gguf"
        made[name] = (write_file(file, architecture, fill, tensors=tensors), named)

    made: dict[str, tuple[Path, str]] = {}
    write("mmproj-model-f16", "clip", lambda w: w.add_type("mmproj"), "mmproj")
    write("projector", "clip", lambda w: w.add_bool("clip.has_vision_encoder", True), "mmproj")
    write("imatrix", None, lambda w: w.add_type("imatrix"), "importance matrix")
    write("vector", "controlvector", lambda w: None, "control vector")
    write("vocabulary", "llama", _with_sizes(), "no weights", tensors=False)
    write("nothing", None, add_vocabulary, "names no architecture")
    for name in ("bert", "nomic-bert", "modern-bert", "jina-bert-v2", "gemma-embedding"):
        write(name, name, _with_sizes(), f"an embedding model ({name})")
    write("t5", "t5", _with_sizes(), "an encoder (t5)")
    write("t5encoder", "t5encoder", _with_sizes(), "an encoder (t5encoder)")
    write("llada", "llada", _with_sizes(), "diffusion")
    write("eagle3", "eagle3", _with_sizes(), "draft model")
    write("speech", "wavtokenizer-dec", _with_sizes(), "speech")
    last, rank = PoolingType.LAST, PoolingType.RANK
    write("pooled", "qwen3", _with_sizes(lambda w: w.add_pooling_type(last)), "an embedding model")
    write("ranker", "qwen3", _with_sizes(lambda w: w.add_pooling_type(rank)), "reranking")
    write("both-ways", "llama", _with_sizes(lambda w: w.add_causal_attention(False)), "embedding")
    write("flux", "flux", _with_sizes(), "the architecture flux")
    write("hyena", "hyena-7", _with_sizes(), "the architecture hyena-7")
    pointer = folder / "pointer.gguf"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    made["pointer"] = (pointer, "git lfs pull")
    return made


def write_split(
    source: Path, folder: Path, *, stem: str = "split", files: int = 3, empty_first: bool = False
) -> list[Path]:
    """The model of ``source`` in several files, as llama.cpp's gguf-split writes it.

    With ``empty_first`` the first has the keys alone (``--no-tensor-first-split``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    reader = read_gguf(source)
    tensors = list(reader.tensors)
    with_tensors = files - 1 if empty_first else files
    share = -(-len(tensors) // with_tensors)
    groups = [tensors[at : at + share] for at in range(0, len(tensors), share)]
    written = []
    for number, group in enumerate([[], *groups] if empty_first else groups, 1):
        path = folder / SplitName(stem, number, files).with_number(number)
        writer = GGUFWriter(path, "")  # the architecture is among the keys of the first
        if number == 1:
            for field in reader.fields.values():
                if not field.name.startswith("GGUF."):
                    copy_key(writer, field)
        writer.add_uint16("split.no", number - 1)
        writer.add_uint16("split.count", files)
        writer.add_int32("split.tensors.count", len(tensors))
        for tensor in group:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        written.append(path)
    return written
