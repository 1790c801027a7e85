"""Folders of one model as people have them: other files, names and types for the same weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.convert.model_folders import (
    Array,
    random_folder,
    read_safetensors,
    to_bytes,
    write_safetensors,
)

Stored = dict[str, tuple[str, tuple[int, ...], bytes]]
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "dtype": "BF16",
}
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tidy_folder(folder: Path, *, tied: bool = False, **changes: Any) -> Path:
    return random_folder(folder, **{**SHAPE, "tie_word_embeddings": tied, **changes})


def stored(file: Path) -> Stored:
    """The tensors of a file, as ``write_safetensors`` takes them."""
    return {
        name: (tensor.dtype, tensor.shape, tensor.stored().tobytes())
        for name, tensor in read_safetensors(file).items()
    }


def set_config(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def shard(folder: Path, count: int = 2, stem: str = "model", suffix: str = ".safetensors") -> None:
    """Replace the single file by shards with an index."""
    tensors = stored(folder / SINGLE)
    (folder / SINGLE).unlink()
    names = sorted(tensors)
    weight_map = {}
    for number in range(count):
        file = f"{stem}-{number + 1:05}-of-{count:05}{suffix}"
        part = {name: tensors[name] for name in names[number::count]}
        write_safetensors(folder / file, part)
        weight_map.update(dict.fromkeys(part, file))
    write_index(folder, weight_map)


def write_index(folder: Path, weight_map: Mapping[str, str], name: str = INDEX) -> None:
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / name).write_text(json.dumps(index))


def read_index(folder: Path) -> dict[str, str]:
    weight_map: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    return weight_map


def rename_tensors(folder: Path, rename: Callable[[str], str]) -> None:
    tensors = {rename(name): entry for name, entry in stored(folder / SINGLE).items()}
    write_safetensors(folder / SINGLE, tensors)


def add_tensors(folder: Path, tensors: Stored) -> None:
    write_safetensors(folder / SINGLE, {**stored(folder / SINGLE), **tensors})


def other_weights(file: Path) -> None:
    """Weights of the same names and shapes that are not those of the model."""
    folder = tidy_folder(file.parent / "other")
    tensors = {
        name: (t, s, b"\0" * len(raw)) for name, (t, s, raw) in stored(folder / SINGLE).items()
    }
    write_safetensors(file, tensors)
    shutil.rmtree(folder)


def float32(name: str, values: Array) -> Stored:
    return {name: ("F32", values.shape, to_bytes(values, "F32"))}


# --- files --------------------------------------------------------------------------------------


def single_beside_other_shards(folder: Path) -> None:
    kept = (folder / SINGLE).read_bytes()
    other_weights(folder / SINGLE)
    shard(folder)
    (folder / SINGLE).write_bytes(kept)


def single_beside_an_index_of_lost_shards(folder: Path) -> None:
    write_index(folder, {"model.norm.weight": "model-00001-of-00007.safetensors"})


def safetensors_beside_bin(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not read")


def safetensors_beside_consolidated(folder: Path) -> None:
    (folder / "consolidated.safetensors").write_bytes(b"not read")
    (folder / "params.json").write_text("{}")


def index_without_some_tensors(folder: Path) -> None:
    shard(folder, 3)
    weight_map = read_index(folder)
    dropped = [name for name in weight_map if "norm" in name]
    write_index(folder, {name: weight_map[name] for name in weight_map if name not in dropped})


def index_with_a_tensor_that_is_tied(folder: Path) -> None:
    set_config(folder, tie_word_embeddings=True)
    tensors = stored(folder / SINGLE)
    write_safetensors(folder / SINGLE, {n: e for n, e in tensors.items() if n != HEAD})
    shard(folder)
    write_index(folder, {**read_index(folder), HEAD: "model-00001-of-00002.safetensors"})


def index_that_names_the_wrong_shards(folder: Path) -> None:
    shard(folder)
    files = sorted(set(read_index(folder).values()))
    write_index(folder, {name: files[i % 2] for i, name in enumerate(read_index(folder))})


def a_tensor_in_two_shards(folder: Path) -> None:
    tensors = stored(folder / SINGLE)
    shard(folder)
    first = folder / "model-00001-of-00002.safetensors"
    write_safetensors(first, {**stored(first), "model.norm.weight": tensors["model.norm.weight"]})


def index_of_an_earlier_save(folder: Path) -> None:
    shard(folder, 2)
    lost = dict.fromkeys(read_index(folder), "model-00001-of-00005.safetensors")
    write_index(folder, lost)


def index_that_names_a_lost_shard_too(folder: Path) -> None:
    shard(folder, 2)
    extra = {"model.extra": "extra.safetensors"}
    write_index(folder, {**read_index(folder), **extra})


def index_that_lacks_a_shard(folder: Path) -> None:
    shard(folder, 2)
    first = "model-00001-of-00002.safetensors"
    write_index(folder, {n: f for n, f in read_index(folder).items() if f == first})


def no_index(folder: Path) -> None:
    shard(folder, 3)
    (folder / INDEX).unlink()


def damaged_index(folder: Path) -> None:
    shard(folder)
    (folder / INDEX).write_text('{"weight_map": {"model.norm')


def only_a_variant(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "model.fp16.safetensors")


def named_by_the_config(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "weights.safetensors")
    set_config(folder, transformers_weights="weights.safetensors")


FILES: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "single file, other shards": (
        single_beside_other_shards,
        r"model\.safetensors counts; ignored: model-\*-of-00002\.safetensors \(2 files\) and mo",
    ),
    "single file, index of lost shards": (
        single_beside_an_index_of_lost_shards,
        r"model\.safetensors counts; ignored: model\.safetensors\.index\.json",
    ),
    "safetensors and .bin": (safetensors_beside_bin, r"ignored: pytorch_model\.bin"),
    "safetensors and consolidated": (
        safetensors_beside_consolidated,
        r"ignored: consolidated\.safetensors",
    ),
    "index without some tensors": (index_without_some_tensors, None),
    "index with the tied head": (index_with_a_tensor_that_is_tied, None),
    "index that names the wrong shards": (index_that_names_the_wrong_shards, None),
    "a tensor in two shards": (a_tensor_in_two_shards, None),
    "index of an earlier save": (
        index_of_an_earlier_save,
        r"\(2 files\) count; ignored: model\.saf",
    ),
    "index that names a lost shard too": (
        index_that_names_a_lost_shard_too,
        r"extra\.safetensors is in the index and not in the folder",
    ),
    "index that lacks a shard": (index_that_lacks_a_shard, r"count, though .* lacks some of them"),
    "no index": (no_index, r"has no index: model-\*-of-00003\.safetensors \(3 files\) count"),
    "damaged index": (damaged_index, r"count without it"),
    "only a variant": (only_a_variant, r"variant fp16"),
    "named by the config": (named_by_the_config, r"as transformers_weights in config\.json says"),
}
"""What is done to a tidy folder, and the note that says so; None where nothing is ignored."""

# --- names --------------------------------------------------------------------------------------


def _bare(name: str) -> str:
    return name.removeprefix("model.")


def _in_multimodal(name: str) -> str:
    if name.startswith("lm_head"):
        return name
    return name.replace("model.", "model.language_model.", 1)


NAMES: dict[str, Callable[[str], str]] = {
    "LlamaModel": _bare,
    "model. before all": lambda name: f"model.{name}",
    "language_model.": lambda name: f"language_model.{name}",
    "model.language_model.": _in_multimodal,
    "model.text_model.": lambda name: name.replace("model.", "model.text_model.", 1),
    "TRL": lambda name: f"pretrained_model.{name}",
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "DataParallel": lambda name: f"module.{name}",
    "FSDP": lambda name: (
        "_fsdp_wrapped_module." + name.replace(".self_attn", "._fsdp_wrapped_module.self_attn")
    ),
    "checkpointing": lambda name: name.replace(".mlp", "._checkpoint_wrapped_module.mlp"),
    "compiled layers": lambda name: name.replace(".mlp", "._orig_mod.mlp"),
    "PEFT without adapters": lambda name: f"base_model.model.{name}",
    "all of them": lambda name: f"module._orig_mod.base_model.model.{name}",
}
"""Names of tensors, by what wraps the model."""
