"""Checkpoints as people have them: each gives the output of the tidy one, or one clear line."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

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
from baize_convert.sources.weight_files import find_weight_files
from baize_convert.sources.wrapped_names import tensor_name
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, write_safetensors
from tests.convert.untidy_folders import (
    EMBEDDING,
    FILES,
    HEAD,
    INDEX,
    NAMES,
    SINGLE,
    add_tensors,
    float32,
    no_index,
    read_index,
    rename_tensors,
    set_config,
    shard,
    stored,
    tidy_folder,
    write_index,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tidy_folder(tmp_path / "model")


def convert(folder: Path, output: Path | None = None) -> bytes:
    """The whole output in F32, without keys that name files."""
    output = folder.parent / "out.gguf" if output is None else output
    merge(plan_conversion(folder, [], parse_outtype("F32"), ConversionOptions(strict=True)), output)
    return output.read_bytes()


def notes(folder: Path) -> str:
    """What ``plan`` warns about, which ``inspect`` shows too."""
    warnings = plan_conversion(folder, [], parse_outtype("F32")).warnings
    assert all("\n" not in warning for warning in warnings)
    return "\n".join(warnings)


def refusal(folder: Path) -> str:
    with pytest.raises(ConvertError) as error:
        open_base(folder)
    message = str(error.value)
    assert "\n" not in message
    return message


# --- which files count --------------------------------------------------------------------------


@pytest.mark.parametrize("case", FILES)
def test_the_files_of_the_model_count(case: str, model: Path) -> None:
    change, note = FILES[case]
    if "tied" in case:
        set_config(model, tie_word_embeddings=True)
        add_tensors(model, {HEAD: stored(model / SINGLE)[EMBEDDING]})
    wanted = convert(model)
    change(model)
    assert convert(model) == wanted
    if note is None:
        assert notes(model) == ""
    else:
        assert re.search(note, notes(model))


def test_plan_and_inspect_show_the_decision(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_index(model)
    assert run(["inspect", str(model), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert len(described["files"]) == 3
    assert "has no index" in described["notes"][0]
    assert run(["plan", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == described["notes"]
    assert run(["plan", str(model)]) == 0
    captured = capsys.readouterr()
    assert "has no index" in captured.err
    assert "3 files, model-00001-of-00003.safetensors to" in captured.out


def test_a_missing_shard_is_named_with_how_many_are_there(model: Path) -> None:
    shard(model, 4)
    (model / "model-00003-of-00004.safetensors").unlink()
    (model / "model-00003-of-00004.safetensors.incomplete").write_bytes(b"")
    message = refusal(model)
    assert "3 of 4 shards are there, model-00003-of-00004.safetensors missing" in message
    assert "model-00003-of-00004.safetensors.incomplete is an unfinished download" in message
    (model / INDEX).unlink()
    assert "3 of 4 shards are there" in refusal(model)


def test_no_shard_that_the_index_names_is_there(model: Path) -> None:
    shard(model)
    for file in set(read_index(model).values()):
        (model / file).unlink()
    assert "0 of 2 shards are there" in refusal(model)


def test_a_biased_layer_cannot_get_lost_with_a_shard(tmp_path: Path) -> None:
    """A bias is optional in the config of Qwen2: only the index knows of it."""
    folder = tidy_folder(tmp_path / "model", architectures=["Qwen2ForCausalLM"], model_type="qwen2")
    biases = {n: e for n, e in stored(folder / SINGLE).items() if n.endswith(".bias")}
    rest = {n: e for n, e in stored(folder / SINGLE).items() if n not in biases}
    (folder / SINGLE).unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    write_safetensors(folder / names[0], rest)
    write_index(folder, {**dict.fromkeys(rest, names[0]), **dict.fromkeys(biases, names[1])})
    assert "1 of 2 shards are there" in refusal(folder)
    write_index(folder, dict.fromkeys([*rest, *biases], names[0]))
    assert "is in the index but in no file" in refusal(folder)


def test_two_models_in_one_folder_are_refused(model: Path) -> None:
    shard(model, 2)
    for file in model.glob("model-*"):
        shutil.copy(file, str(file).replace("-of-00002", "-of-00003"))
    shutil.copy(
        model / "model-00001-of-00002.safetensors", model / "model-00003-of-00003.safetensors"
    )
    (model / INDEX).unlink()
    assert "no index says which count" in refusal(model)


def test_an_interrupted_download_over_an_older_model_is_refused(model: Path) -> None:
    shard(model, 2)
    first = model / "model-00001-of-00002.safetensors"
    shutil.copy(first, model / "model-00001-of-00003.safetensors")
    newer = dict.fromkeys(["a"], "model-00001-of-00003.safetensors")
    write_index(model, {**newer, "b": "model-00002-of-00003.safetensors"})
    assert "1 of 2 shards are there" in refusal(model)
    assert "or remove the others" in refusal(model)


def test_a_tensor_that_differs_between_shards_is_refused(model: Path) -> None:
    shard(model)
    first = model / "model-00001-of-00002.safetensors"
    other = stored(model / "model-00002-of-00002.safetensors")
    name = min(other)
    changed = (other[name][0], other[name][1], b"\1" * len(other[name][2]))
    write_safetensors(first, {**stored(first), name: changed})
    assert f"{name} is in two files, and differs" in refusal(model)


def test_a_single_file_that_is_not_the_model_says_that_the_shards_do_not_count(
    model: Path,
) -> None:
    """Such as weights of 4 bits beside those of 16; transformers would take the single file."""
    single = model / SINGLE
    weights = single.read_bytes()
    shard(model)
    single.write_bytes(weights)
    add_tensors(model, {"model.layers.0.mlp.up_proj.weight.absmax": ("F32", (1,), b"\0" * 4)})
    assert "(model.safetensors counts; ignored: model-*-of-00002.saf" in refusal(model)
    write_safetensors(single, {"model.norm.weight": stored(single)["model.norm.weight"]})
    assert "(model.safetensors counts; ignored: model-*-of-00002.saf" in refusal(model)


def test_a_config_that_names_weights_that_are_not_there(model: Path) -> None:
    set_config(model, transformers_weights="gone.safetensors")
    assert "transformers_weights names 'gone.safetensors', which is no" in refusal(model)
    index = "other.safetensors.index.json"
    set_config(model, transformers_weights=index)
    write_index(model, {}, index)
    assert "names no file" in refusal(model)
    write_index(model, {HEAD: "gone.safetensors"}, index)
    assert "0 of 1 shards are there" in refusal(model)
    write_index(model, {HEAD: SINGLE}, index)
    assert "as transformers_weights in config.json says" in notes(model)


def test_shards_named_after_the_single_file(model: Path) -> None:
    """``model.safetensors-00001-of-00002.safetensors``, as Qwen 3.5 has."""
    wanted = convert(model)
    shard(model, 2, "model.safetensors")
    assert convert(model) == wanted
    assert notes(model) == ""
    (model / INDEX).unlink()
    assert convert(model) == wanted


def test_several_variants_are_refused(model: Path) -> None:
    shutil.copy(model / SINGLE, model / "model.fp16.safetensors")
    (model / SINGLE).rename(model / "model.bf16.safetensors")
    assert "the variants bf16, fp16" in refusal(model)


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("consolidated.00.pth", "Meta's or Mistral's own format"),
        ("consolidated.safetensors", "Meta's or Mistral's own format"),
        ("model-Q4_K_M.gguf", "give the file model-Q4_K_M.gguf itself"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("zero_to_fp32.py", "DeepSpeed"),
        ("__0_0.distcp", "FSDP"),
        ("weights.npz", "MLX"),
        ("adapter_model.safetensors", "is an adapter"),
        ("llama.safetensors", "rename llama.safetensors to model.safetensors"),
        ("model.safetensors.part", "(model.safetensors.part is an unfinished download)"),
        ("last.ckpt", "a file of a training program"),
    ],
)
def test_other_formats_are_named(file: str, wrong: str, model: Path) -> None:
    (model / SINGLE).rename(model / file)
    assert wrong in refusal(model)
    if "part" not in file and "adapter" not in file:
        (model / "config.json").unlink()
        assert wrong in refusal(model)


@pytest.mark.parametrize("file", [SINGLE, "pytorch_model.bin", "model.gguf"])
@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n",
            "is a pointer of Git LFS",
        ),
        ("<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        ("", "the file is empty"),
    ],
)
def test_files_that_stand_in_for_weights(file: str, content: str, wrong: str, model: Path) -> None:
    (model / SINGLE).unlink()
    (model / file).write_text(content)
    given = model / file if file.endswith(".gguf") else model
    assert wrong in refusal(given)


def test_a_download_that_is_allocated_but_not_finished(model: Path) -> None:
    (model / f"{SINGLE}.aria2").write_bytes(b"")
    assert "is not complete" in refusal(model)


NAMES_OF_FILES = [
    SINGLE,
    INDEX,
    "model.safetensors.index.fp16.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model-00001-of-00003.safetensors",
    "model-1-of-1.safetensors",
    "model-00000-of-00000.safetensors",
    "model.safetensors-00001-of-00001.safetensors",
    "pytorch_model-00001-of-00002.bin",
    "model-99999999999-of-99999999999.safetensors",
    "consolidated.00.pth",
    "adapter_model.safetensors",
    "other.safetensors",
    "model.safetensors.aria2",
]
SHARDS = st.sampled_from([*NAMES_OF_FILES, "", "..", "./" + SINGLE, "a/b.safetensors", "\0", "/x"])


@settings(deadline=None)
@given(
    files=st.frozensets(st.sampled_from(NAMES_OF_FILES)),
    index=st.dictionaries(st.text(max_size=3), SHARDS, max_size=3).map(
        lambda weight_map: json.dumps({"weight_map": weight_map})
    )
    | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
    config=st.none() | SHARDS,
)
def test_any_set_of_files_is_chosen_from_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    files: frozenset[str],
    index: str,
    config: str | None,
) -> None:
    """Files that count are there, no two sets are mixed, and a refusal is one line."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "config.json").write_text(json.dumps({"transformers_weights": config}))
    for name in files:
        (folder / name).write_text(index if name.endswith(".json") else "")
    message, found = "", None
    try:
        found = find_weight_files(folder, files)
    except ConvertError as error:
        message = str(error)
    assert "\n" not in message
    if found is None:
        return
    assert found.names
    assert files.issuperset(found.names)
    assert files.isdisjoint(found.missing)
    if SINGLE in files and config is None:
        assert found.names == (SINGLE,)


# --- folders ------------------------------------------------------------------------------------


def into_cache(model: Path, cache: Path, commit: str = "0123abcd") -> Path:
    """``model`` as the hub's cache keeps it; the folder of the repository."""
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    for number, file in enumerate(sorted(model.iterdir())):
        blob = repository / "blobs" / f"{commit}{number}"
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", blob.name))
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    return repository


def test_a_repository_in_the_cache_stands_for_its_snapshot(model: Path, tmp_path: Path) -> None:
    repository = into_cache(model, tmp_path)
    snapshot = repository / "snapshots" / "0123abcd"
    assert convert(repository, tmp_path / "a.gguf") == convert(snapshot, tmp_path / "b.gguf")
    assert "its snapshot 0123abcd counts" in notes(repository)
    base = open_base(repository)
    assert (base.name, base.commit) == ("owner/name", "0123abcd")
    into_cache(model, tmp_path, "89abcdef")
    assert open_base(repository).commit == "89abcdef"
    (repository / "refs" / "main").unlink()
    assert "has 2 snapshots, and none is main" in refusal(repository)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", SINGLE])
def test_a_snapshot_without_its_blobs_says_how_to_download(
    file: str, model: Path, tmp_path: Path
) -> None:
    snapshot = into_cache(model, tmp_path) / "snapshots" / "0123abcd"
    (snapshot / file).resolve().unlink()
    message = refusal(snapshot)
    assert f"{file} is a link to a file that no longer exists" in message
    assert "hf download owner/name" in message


def test_an_interrupted_download_into_the_cache(model: Path, tmp_path: Path) -> None:
    repository = into_cache(model, tmp_path)
    snapshot = repository / "snapshots" / "0123abcd"
    (snapshot / SINGLE).unlink()
    (repository / "blobs" / "5678.incomplete").write_bytes(b"")
    message = refusal(repository)
    assert "download it again with hf download owner/name" in message
    assert "5678.incomplete is an unfinished download" in message


def test_an_interrupted_download_into_a_folder(model: Path) -> None:
    (model / SINGLE).unlink()
    place = model / ".cache" / "huggingface" / "download"
    place.mkdir(parents=True)
    (place / "abc.incomplete").write_bytes(b"")
    assert "abc.incomplete is an unfinished download" in refusal(model)


def test_a_dangling_link_beside_what_counts_does_no_harm(model: Path) -> None:
    (model / "pytorch_model.bin").symlink_to("gone")
    assert notes(model) == ""


@pytest.mark.parametrize(
    "name", ["with spaces", "ünï–cødé", os.fsdecode(b"latin-\xe9"), "models--x"], ids=ascii
)
def test_any_name_of_a_folder(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model.rename(tmp_path / name)
    model.chmod(0o555)
    output = tmp_path / "out.gguf"
    assert run(["merge", f"{model}/", "-o", str(output), "--outtype", "F16"]) == 0
    assert run(["inspect", f"{model}//"]) == 0
    assert capsys.readouterr().err.count("Traceback") == 0
    left = {path for path in output.parent.iterdir() if path.name != "home"}  # has the log
    assert left == {model, output}


def test_a_folder_inside_or_a_file_is_named(model: Path, tmp_path: Path) -> None:
    assert "model has one" in refusal(tmp_path)
    cache = into_cache(model, tmp_path / "hub").parent
    assert "give one of the folders in it, such as models--owner--name" in refusal(cache)
    assert "give its folder" in refusal(model / SINGLE)
    assert "give its folder" in refusal(model / "config.json")


def test_an_adapter_beside_the_weights_is_not_merged_in_silence(model: Path) -> None:
    shutil.copy(FOLDER / "plain" / "adapter_config.json", model)
    assert "adapter_config.json is ignored" in notes(model)


# --- names of tensors ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", NAMES)
def test_wrappers_are_removed_from_names(wrapper: str, model: Path) -> None:
    wanted = convert(model)
    rename_tensors(model, NAMES[wrapper])
    assert convert(model) == wanted
    assert "tensors are not named as in transformers" in notes(model)


@pytest.mark.parametrize("wrapper", NAMES)
def test_an_index_has_the_wrapped_names_too(wrapper: str, model: Path) -> None:
    wanted = convert(model)
    rename_tensors(model, NAMES[wrapper])
    shard(model)
    assert convert(model) == wanted


def test_names_that_become_equal_are_refused(model: Path) -> None:
    norm = stored(model / SINGLE)["model.norm.weight"]
    add_tensors(model, {"_orig_mod.model.norm.weight": norm})
    assert "both mean model.norm.weight" in refusal(model)


def test_a_whole_peft_model_is_named(model: Path) -> None:
    rename_tensors(model, lambda name: f"base_model.model.{name}")
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    add_tensors(model, float32(key, np.ones((2, 64), np.float32)))
    assert "belongs to a whole PEFT model" in refusal(model)


@given(st.text(), st.sampled_from(["model.layers.0.mlp.up_proj.weight", "lm_head.weight"]))
def test_a_normal_name_stays_and_any_other_is_a_name(text: str, name: str) -> None:
    assert tensor_name(name) == name
    assert tensor_name(tensor_name(text)) == tensor_name(text)


def test_tensors_of_other_models_keep_their_names(model: Path) -> None:
    name = "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"
    add_tensors(model, float32(name, np.ones((2, 2), np.float32)))
    assert name in refusal(model)


# --- head and embedding -------------------------------------------------------------------------


def test_a_missing_head_is_refused_with_what_to_do(model: Path) -> None:
    tensors = stored(model / SINGLE)
    del tensors[HEAD]
    write_safetensors(model / SINGLE, tensors)
    message = refusal(model)
    assert "lm_head.weight is missing, though the config does not tie it" in message
    assert '"tie_word_embeddings": true' in message
    set_config(model, tie_word_embeddings=True)
    assert "output.weight" not in [placed.tensor.name for placed in plan(model).layout.tensors]


def plan(folder: Path) -> Any:
    return plan_conversion(folder, [], parse_outtype("F32"))


def test_a_tied_model_with_an_equal_head(tmp_path: Path) -> None:
    model = tidy_folder(tmp_path / "model", tied=True)
    wanted = convert(model)
    embedding = stored(model / SINGLE)[EMBEDDING]
    add_tensors(model, {HEAD: embedding})
    assert convert(model) == wanted
    assert notes(model) == ""
    rest = {name: entry for name, entry in stored(model / SINGLE).items() if name != EMBEDDING}
    write_safetensors(model / SINGLE, rest)
    assert convert(model) == wanted
    assert "model.embed_tokens.weight is missing; lm_head.weight counts" in notes(model)


@pytest.mark.parametrize("row", [0, 150, 299])
def test_a_tied_model_with_a_head_of_its_own(row: int, tmp_path: Path) -> None:
    """As transformers 5, which then does not tie them."""
    model = tidy_folder(tmp_path / "model", tied=True, dtype="F32")
    head = read_safetensors(model / SINGLE)[EMBEDDING].read_all()
    head[row, 5] += 1
    add_tensors(model, float32(HEAD, head))
    assert "differs from the embedding" in notes(model)
    assert np.array_equal(open_base(model).tensors[HEAD].read_all(), head)


# --- types --------------------------------------------------------------------------------------


def test_a_quantization_config_over_16_bit_weights_is_ignored(model: Path) -> None:
    wanted = convert(model)
    set_config(model, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    assert convert(model) == wanted
    assert re.search(
        r"quantization_config \(bitsandbytes\) .* is ignored: the weights are BF16", notes(model)
    )


@pytest.mark.parametrize(
    ("quantization", "wrong"),
    [
        (
            {"quant_method": "bitnet", "linear_class": "autobitlinear"},
            "rounds its weights to -1, 0",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "transform_config": {"config_groups": {"u": {"type": "hadamard"}}},
            },
            "transform_config .* rotates weights",
        ),
    ],
)
def test_a_model_that_computes_with_other_numbers_than_its_weights_is_refused(
    quantization: dict[str, Any], wrong: str, model: Path
) -> None:
    set_config(model, quantization_config=quantization)
    with pytest.raises(ConvertError, match=wrong):
        convert(model)


def test_a_transform_config_without_transforms_changes_nothing(model: Path) -> None:
    wanted = convert(model)
    empty = {"quant_method": "compressed-tensors", "transform_config": {"config_groups": {}}}
    set_config(model, quantization_config=empty)
    assert convert(model) == wanted


@pytest.mark.parametrize(
    ("name", "dtype", "wrong"),
    [
        ("weight.absmax", "F32", "bitsandbytes"),
        ("weight.quant_state.bitsandbytes__nf4", "U8", "bitsandbytes"),
        ("SCB", "F32", "bitsandbytes"),
        ("qweight", "I32", "GPTQ or AWQ"),
        ("g_idx", "I32", "GPTQ or AWQ"),
        ("biases", "F16", "MLX"),
        ("weight_scale_2", "F32", "NVFP4"),
        ("W_q", "U8", "HQQ"),
        ("codebooks", "F16", "AQLM"),
        ("weight._data", "I8", "Quanto"),
        ("weight_scales", "F16", "EETQ"),
        ("weight_g_idx", "I32", "reordered columns"),
        ("bitmask", "U8", "sparse matrices"),
    ],
)
def test_quantized_formats_are_named(name: str, dtype: str, wrong: str, model: Path) -> None:
    size = {"F32": 4, "I32": 4, "F16": 2}.get(dtype, 1)
    add_tensors(model, {f"model.layers.0.mlp.up_proj.{name}": (dtype, (1,), b"\0" * size)})
    message = refusal(model)
    assert wrong in message
    assert "use the model it was made from" in message


@pytest.mark.parametrize("dtype", ["U8", "I8", "I64", "BOOL", "I16", "F4", "U32"])
def test_a_weight_of_another_type_is_refused(dtype: str, model: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    size = {"I64": 8, "I16": 2, "U32": 4}.get(dtype, 1)
    add_tensors(model, {name: (dtype, (96, 64), b"\1" * (96 * 64 * size))})
    message = refusal(model)
    assert name in message
    assert dtype in message


def test_float64_is_rounded(model: Path) -> None:
    wanted = convert(model)
    name = "model.layers.0.mlp.up_proj.weight"
    values = read_safetensors(model / SINGLE)[name].read_all().astype(np.float64)
    add_tensors(model, {name: ("F64", values.shape, values.tobytes())})
    assert convert(model) == wanted


def test_an_empty_tensor_is_explained(model: Path) -> None:
    add_tensors(model, {"model.layers.0.mlp.up_proj.weight": ("BF16", (0,), b"")})
    assert "ZeRO-3" in refusal(model)


def test_a_value_head_is_left_out(model: Path) -> None:
    wanted = convert(model)
    add_tensors(model, float32("v_head.summary.weight", np.ones((1, 64), np.float32)))
    assert convert(model) == wanted
    assert "v_head.* is left out" in notes(model)


def test_a_flat_tensor_is_explained(model: Path) -> None:
    entry = ("BF16", (96 * 64,), b"\0" * (2 * 96 * 64))
    add_tensors(model, {"model.layers.0.mlp.up_proj.weight": entry})
    assert "as FSDP keeps its parts" in refusal(model)


def test_buffers_of_older_versions_are_left_out(model: Path) -> None:
    wanted = convert(model)
    add_tensors(
        model,
        {
            "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (1,), b"\0" * 4),
            "model.rotary_emb.cos_cached": ("F32", (1,), b"\0" * 4),
            "model.position_ids": ("I64", (1,), b"\0" * 8),
        },
    )
    assert convert(model) == wanted


# --- the tokenizer ------------------------------------------------------------------------------


def test_the_tokenizer_json_counts_beside_a_list_for_tiktoken(model: Path) -> None:
    wanted = convert(model)
    (model / "tokenizer.model").write_text("IQ== 0\nIg== 1\nIw== 2\n")
    assert convert(model) == wanted
    (model / "tokenizer.json").unlink()
    with pytest.raises(ConvertError, match=r"for tiktoken.*add the tokenizer\.json"):
        plan(model)


def test_the_golden_base_is_tidy() -> None:
    assert notes(BASE) == ""
