"""Adapters that cannot be opened or merged: one line, the true reason and the next step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError, first_few
from baize_convert.lora.adapter_folders import choose_adapter
from baize_convert.lora.peft_config import AdapterConfig
from baize_convert.lora.peft_keys import parse_key
from baize_convert.lora.scaling import module_scale
from baize_convert.opening import open_adapter, open_adapters, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, to_bytes, write_safetensors

Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("*.bin", "merged*")
    return Path(shutil.copytree(FOLDER / "plain", tmp_path / "adapter", ignore=ignored))


def configure(folder: Path, **fields: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def store(folder: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    """Write weights of ones with these shapes."""
    written = {
        key: ("F32", shape, np.ones(shape, np.float32).tobytes()) for key, shape in tensors.items()
    }
    write_safetensors(folder / "adapter_model.safetensors", written)


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(ConvertError) as error:
        read()
    assert "\n" not in str(error.value)
    return str(error.value)


def plan(*adapters: Path) -> object:
    return plan_conversion(BASE, [open_adapter(path) for path in adapters], parse_outtype("F32"))


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("lr=2e-4", ("there is no adapter 'lr' to apply with the weight 0.0002",)),
        ("my-lora=abc", ("'abc' is not a number", "ADAPTER=WEIGHT")),
        ("nowhere", ("no such folder and no such file", "a folder of PEFT")),
        ("owner/name", ("write hf:owner/name",)),
        ("hf:name", ("hf:owner/name/folder",)),
        ("https://huggingface.co/o/n", ("write hf:o/n",)),
        ("hf.co/o/n/tree/main/checkpoint-1", ("write hf:o/n/checkpoint-1",)),
        ("https://huggingface.co/o/n/tree/v2/", ("write hf:o/n@v2",)),
    ],
)
def test_a_mistyped_adapter_says_what_an_adapter_is(argument: str, parts: tuple[str, ...]) -> None:
    message = refusal(lambda: open_adapters([argument]))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("base", ["lr=2e-4", "owner/name", "~/model"])
def test_a_mistyped_base_says_what_a_base_is(base: str) -> None:
    assert "a Hugging Face folder, a GGUF file or hf:owner/name" in refusal(lambda: open_base(base))


def test_an_adapter_given_twice_is_refused(adapter: Path) -> None:
    for again in (str(adapter), f"{adapter}/", f"{adapter}=0.5"):
        assert "given twice" in refusal(lambda again=again: open_adapters([str(adapter), again]))  # type: ignore[misc]


def test_one_file_of_a_folder(adapter: Path, tmp_path: Path) -> None:
    assert open_adapter(adapter / "adapter_model.safetensors").path == adapter
    assert "give its folder" in refusal(lambda: open_base(BASE / "model.safetensors"))
    kohya = tmp_path / "style.safetensors"
    write_safetensors(kohya, {"lora_unet_down.lora_down.weight": ("F32", (1,), b"\0" * 4)})
    assert "kohya" in refusal(lambda: open_adapter(kohya))
    shutil.copy(adapter / "adapter_model.safetensors", tmp_path / "lora.safetensors")
    assert "adapter_config.json" in refusal(lambda: open_adapter(tmp_path / "lora.safetensors"))


def test_a_model_given_as_an_adapter_is_recognized() -> None:
    assert "a model, not an adapter: give it as BASE" in refusal(lambda: open_adapter(BASE))


# --- folders --------------------------------------------------------------------------------------


def test_an_adapter_in_a_folder_of_the_folder_is_named(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = tmp_path / "run-7"
    shutil.copytree(adapter, outer / "checkpoint-500" / "default")
    shutil.copy(BASE / "tokenizer.json", outer)
    opened = open_adapter(outer)
    assert (opened.path, opened.name) == (outer / "checkpoint-500" / "default", "run-7")
    assert run(["plan", str(BASE), "--adapter", str(outer), "--outtype", "F16"]) == 0
    used = f"{outer}: the adapter in its folder checkpoint-500/default is used"
    assert used in capsys.readouterr().err
    made = plan_conversion(BASE, [opened], parse_outtype("F32"))
    assert made.tokenizer == outer  # trainers save it beside the folders of checkpoints
    assert run(["inspect", str(outer)]) == 0
    assert f"folder: {opened.path}" in capsys.readouterr().out


def test_of_several_adapters_one_has_to_be_named(adapter: Path, tmp_path: Path) -> None:
    for step in range(100, 900, 100):
        shutil.copytree(adapter, tmp_path / "run" / f"checkpoint-{step}")
    message = refusal(lambda: open_adapter(tmp_path / "run"))
    assert "has 8 adapters (checkpoint-100, checkpoint-200, " in message
    assert "and 3 more" in message
    shutil.copytree(adapter, tmp_path / "run", dirs_exist_ok=True)
    assert open_adapter(tmp_path / "run").path == tmp_path / "run"  # the final one counts


@pytest.mark.parametrize(
    ("files", "folder", "chosen"),
    [
        (["adapter_config.json", "ref/adapter_config.json"], "", ""),
        (["a/adapter_config.json"], "", "a"),
        (["a/adapter_config.json", "b/adapter_config.json"], "b", "b"),
        (["a/b/adapter_config.json", "c/adapter_config.json"], "a", "a/b"),
        (["config.json"], "", ""),
    ],
)
def test_the_folder_with_the_adapter(files: list[str], folder: str, chosen: str) -> None:
    assert choose_adapter("hf:owner/name", files, folder) == chosen


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("adapters.npz", "MLX"),
        ("pytorch_lora_weights.safetensors", "Diffusers"),
        ("pytorch_adapter.bin", "AdapterHub"),
        ("lora.gguf", "give the file, such as lora.gguf"),
        ("zero_to_fp32.py", "a checkpoint of DeepSpeed or FSDP"),
        ("README.md", "not a PEFT adapter"),
    ],
)
def test_a_folder_of_another_program_is_named(file: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    assert reason in refusal(lambda: open_adapter(tmp_path))


@pytest.mark.parametrize("file", ["trainable_params.bin", "non_lora_trainables.bin"])
def test_weights_that_were_trained_besides_the_lora_are_reported(file: str, adapter: Path) -> None:
    """PEFT ignores them too, and the model then answers as if half of the training were lost."""
    assert open_adapter(adapter).notes == ()
    (adapter / file).touch()
    (adapter / "training_args.bin").touch()
    (note,) = open_adapter(adapter).notes
    assert f"{file} has weights that " in note
    assert "is not merged" in note


def test_a_pointer_of_git_lfs(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert "git lfs pull" in refusal(lambda: open_adapter(adapter))


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "module", "kind"),
    [
        (f"{Q}.lora_A.weight", "model.layers.0.self_attn.q_proj", "lora_A"),
        (f"{Q}.lora_B.mine.bias", "model.layers.0.self_attn.q_proj", "lora_bias"),
        (f"{Q}.lora_magnitude_vector.default.weight", "model.layers.0.self_attn.q_proj", None),
        (f"{Q}.lora_magnitude_vector", "model.layers.0.self_attn.q_proj", "lora_magnitude_vector"),
        ("base_model.model.layers.0.mlp.up_proj.lora_A.weight", "model.layers.0.mlp.up_proj", None),
        ("language_model.model.norm.weight", "model.norm", "plain"),
        ("base_model.model.model.language_model.layers.3.mlp.up_proj.lora_B.weight", None, None),
        ("base_model.model.language_model.lm_head.lora_A.weight", "lm_head", "lora_A"),
        ("base_model.model.model.text_model.embed_tokens.lora_embedding_A", None, None),
        ("_forward_module.module.lm_head.modules_to_save.x.weight", "lm_head", "saved"),
        ("base_model.model.lm_head.original_module.weight", "lm_head", "original"),
        ("base_model.model.lm_head.token_adapter.base_layer.weight", "lm_head", "base"),
        ("lm_head.token_adapter.trainable_tokens_delta.mine", "lm_head", "token_rows"),
        ("lm_head.token_adapter.trainable_tokens_original.mine", "lm_head", "ignored"),
        (f"{Q}.lora_monteclora_sampler.default.std_prior", None, "ignored"),
    ],
)
def test_keys_of_every_version_are_understood(
    key: str, module: str | None, kind: str | None
) -> None:
    parsed = parse_key(key)
    assert parsed is not None
    assert module is None or parsed.module == module
    assert kind is None or parsed.kind == kind
    assert parsed.module.startswith(("model.", "lm_head"))


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.vision_tower.encoder.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.visual.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.audio_tower.layers.0.mlp.up_proj.lora_A.weight",
    ],
)
def test_layers_of_other_parts_are_not_those_of_the_language_model(key: str, adapter: Path) -> None:
    parsed = parse_key(key)
    assert parsed is not None
    assert not parsed.module.startswith("model.layers")
    configure(adapter, target_modules=["q_proj", "up_proj"])
    store(adapter, {key: (4, 32), key.replace("lora_A", "lora_B"): (32, 4)})
    assert "a part for images or sound" in refusal(lambda: plan(adapter))


@pytest.mark.parametrize(
    "key",
    [
        f"{Q}.lora_A",
        f"{Q}.lora_A.default.quant_state",
        f"{Q}.lora_embedding_A.default.extra.weight",
        f"{Q}.base_layer.base_layer.weight",
        f"{Q}.base_layer.weight_format",
        f"{Q}.token_adapter.base_layer",
        "weight",
    ],
)
def test_no_other_key_is_taken_for_one(key: str) -> None:
    assert parse_key(key) is None


def test_two_keys_of_one_tensor_have_to_agree(adapter: Path) -> None:
    names = ("lora_A.weight", "_orig_mod.lora_A.weight")
    tensors = {f"{Q}.{name}": np.full((4, 32), at, np.float32) for at, name in enumerate(names)}
    tensors[f"{Q}.lora_B.weight"] = np.ones((32, 4), np.float32)
    written = {key: ("F32", t.shape, to_bytes(t, "F32")) for key, t in tensors.items()}
    write_safetensors(adapter / "adapter_model.safetensors", written)
    assert "two keys of model.layers.0.self_attn.q_proj" in refusal(lambda: open_adapter(adapter))


def test_a_shard_that_was_saved_alone_is_explained(adapter: Path) -> None:
    store(adapter, {f"{Q}.lora_A.weight": (0,), f"{Q}.lora_B.weight": (0,)})
    assert "save it again with the parameters gathered" in refusal(lambda: open_adapter(adapter))


# --- ranks, switches and modules ------------------------------------------------------------------


def test_the_part_of_one_process_is_reported(adapter: Path) -> None:
    """As FSDP saved it for some trainers: the whole shape, and zeros for the other processes."""
    assert open_adapter(adapter).notes == ()
    tensors = {}
    for key, tensor in read_safetensors(adapter / "adapter_model.safetensors").items():
        values = tensor.read_all()
        if ".q_proj.lora_B." in key:
            values[len(values) // 4 :] = 0
        tensors[key] = ("F32", tensor.shape, to_bytes(values, "F32"))
    write_safetensors(adapter / "adapter_model.safetensors", tensors)
    (note,) = open_adapter(adapter).notes
    assert "some rows of lora_B are all zero in" in note
    assert "self_attn.q_proj" in note
    assert "one process may have saved its part alone" in note


def test_a_rank_that_the_config_contradicts_is_refused_as_in_peft(adapter: Path) -> None:
    configure(adapter, r=8)
    message = refusal(lambda: open_adapter(adapter))
    assert "has rank 4, but adapter_config.json says 8" in message


@pytest.mark.parametrize("pattern", ["(", "(a+)+", ".*.*.*.*x", "q" * 501])
def test_a_pattern_that_cannot_be_tried_is_named(pattern: str) -> None:
    config = AdapterConfig(r=4, alpha_pattern={pattern: 2})
    assert "in adapter_config.json" in refusal(lambda: module_scale("q_proj", 4, config))


def test_alphas_that_peft_sorted_are_reported(adapter: Path) -> None:
    configure(adapter, alpha_pattern={"layers.0.self_attn.q_proj": 2, "q_proj": 3})
    opened = open_adapter(adapter)
    assert opened.changes["model.layers.0.self_attn.q_proj"].scale == 2 / 4
    assert opened.changes["model.layers.1.self_attn.q_proj"].scale == 3 / 4
    (note,) = opened.notes
    assert "several keys of alpha_pattern match model.layers.0.self_attn.q_proj" in note


@pytest.mark.parametrize(
    ("kind", "field"), [("dora", "use_dora"), ("lora_bias", "lora_bias"), ("plain", "use_dora")]
)
def test_a_switch_has_to_fit_the_weights(kind: str, field: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER / kind, tmp_path / "adapter"))
    configure(folder, **{field: kind == "plain"})
    assert f"but {field} is" in refusal(lambda: open_adapter(folder))


def test_of_many_modules_the_first_are_named(adapter: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(2, 30):
        module = f"base_model.model.model.layers.{layer}.mlp.up_proj"
        shapes |= {f"{module}.lora_A.weight": (4, 32), f"{module}.lora_B.weight": (48, 4)}
    store(adapter, shapes)
    message = refusal(lambda: plan(adapter))
    assert "and 25 more" in message
    assert len(message) < 500
    assert first_few(["a", "b"]) == "a, b"


def test_the_base_that_an_adapter_names_is_in_the_message(adapter: Path) -> None:
    configure(adapter, base_model_name_or_path="meta-llama/Llama-3.2-1B")
    store(adapter, {f"{Q}.lora_A.weight": (4, 64), f"{Q}.lora_B.weight": (64, 4)})
    assert "it was trained on meta-llama/Llama-3.2-1B" in refusal(lambda: plan(adapter))


@pytest.mark.parametrize(
    ("module", "what"),
    [("score", "the head of a classifier"), ("model.layers.0.mlp.experts.up_proj", "an expert")],
)
def test_modules_of_other_models_are_explained(module: str, what: str, adapter: Path) -> None:
    name = f"base_model.model.{module}"
    configure(adapter, target_modules=[module])
    store(adapter, {f"{name}.lora_A.weight": (4, 32), f"{name}.lora_B.weight": (2, 4)})
    assert what in refusal(lambda: plan(adapter))


# --- weights that the config does not name, and names without weights -----------------------------


def notes(adapter: Path) -> str:
    planned = plan_conversion(BASE, [open_adapter(adapter)], parse_outtype("F32"))
    return "\n".join(planned.warnings)


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"target_modules": ["q_proj", "k_proj"]}, "down_proj"),
        ({"target_modules": r".*\.(q|k)_proj"}, "down_proj"),
        ({"target_modules": ["self_attn.q_proj", "mlp.down_proj"]}, "k_proj"),
        ({"exclude_modules": ["down_proj"]}, "down_proj"),
        ({"exclude_modules": ".*down.*"}, "down_proj"),
        ({"layers_to_transform": 0}, "layers.1."),
        ({"layers_to_transform": [0, 7], "layers_pattern": "layers"}, "layers.1."),
        ({"layers_to_transform": [0], "layers_pattern": ["h", "layers"]}, "layers.1."),
    ],
)
def test_weights_of_modules_that_the_config_does_not_name_are_left_out(
    fields: dict[str, Any], left_out: str, adapter: Path
) -> None:
    """As in PEFT, which ignores such weights; and a line says so."""
    before = set(open_adapter(adapter).changes)
    configure(adapter, **fields)
    opened = open_adapter(adapter)
    assert set(opened.changes) == {module for module in before if left_out not in module}
    assert "adapter_config.json leaves out model.layers." in notes(adapter)


@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": "all-linear"},
        {"target_modules": None},
        {"target_modules": []},
        {"target_modules": "(.*)*_proj"},  # it could take all time, so the keys decide
        {"exclude_modules": []},
        {"layers_to_transform": []},
        {"layers_to_transform": [0, 1], "layers_pattern": []},
    ],
)
def test_a_config_that_leaves_out_nothing(fields: dict[str, Any], adapter: Path) -> None:
    before = set(open_adapter(adapter).changes)
    configure(adapter, **fields)
    assert set(open_adapter(adapter).changes) == before


def test_a_config_that_names_none_of_the_modules(adapter: Path) -> None:
    configure(adapter, target_modules=["c_attn"])
    assert "names none of the modules in the weights" in refusal(lambda: plan(adapter))


@pytest.mark.parametrize("targets", [["q_proj", "o_proj"], "all-linear"])
def test_modules_without_weights_are_reported(targets: object, adapter: Path) -> None:
    """One process of several may have saved its part alone."""
    configure(adapter, target_modules=targets)
    assert "modules that its config names (model.layers.0." in notes(adapter)


def test_a_complete_adapter_has_no_such_line(adapter: Path) -> None:
    assert "config" not in notes(adapter)


@pytest.mark.parametrize("saved", ["lm_head", "embed_tokens", "mlp", "model.norm"])
def test_a_module_to_save_that_was_not_saved(saved: str, adapter: Path) -> None:
    configure(adapter, target_modules=["q_proj", "k_proj", "down_proj"], modules_to_save=[saved])
    message = refusal(lambda: plan(adapter))
    assert "though modules_to_save in adapter_config.json names them" in message


def test_a_module_to_save_that_only_other_models_have(adapter: Path) -> None:
    configure(adapter, modules_to_save=["classifier", "score"])
    assert plan(adapter)


def test_trained_tokens_that_were_not_saved(adapter: Path) -> None:
    configure(adapter, trainable_token_indices=[5, 7])
    assert "has no trained tokens" in refusal(lambda: plan(adapter))


def test_an_alpha_that_is_not_known(adapter: Path) -> None:
    configure(adapter, lora_alpha=None)
    assert "lora_alpha is null" in refusal(lambda: plan(adapter))


# --- several adapters, weights and the run-time file ----------------------------------------------


def test_copies_of_the_base_neither_weigh_nor_exclude(tmp_path: Path) -> None:
    """PEFT saves an embedding together with its LoRA; that is no change of it."""
    half = open_adapter(FOLDER / "embedding", 0.5)
    assert plan_conversion(BASE, [half, half], parse_outtype("F32"))
    other = Path(shutil.copytree(FOLDER / "embedding", tmp_path / "other"))
    file = other / "adapter_model.safetensors"
    written = {
        name: (
            "F32",
            tensor.shape,
            to_bytes(tensor.read_all() + ("base_layer" in name), "F32"),
        )
        for name, tensor in read_safetensors(file).items()
    }
    write_safetensors(file, written)
    adapters = [half, open_adapter(other)]
    message = refusal(lambda: plan_conversion(BASE, adapters, parse_outtype("F32")))
    assert "were trained on different bases" in message


def test_numbers_that_f16_cannot_hold_need_f32(adapter: Path, tmp_path: Path) -> None:
    configure(adapter, lora_alpha=1e8)
    base, opened = open_base(BASE), open_adapter(adapter)
    output = tmp_path / "lora.gguf"
    assert "--outtype f32" in refusal(lambda: write_adapter(base, opened, output))
    assert not output.exists()
    write_adapter(base, opened, output, "f32")


def test_warnings_of_the_gguf_package_stay_off_stderr() -> None:
    script = (
        "import baize_convert, gguf, logging\n"
        "writer = gguf.GGUFWriter(None, 'llama')\n"
        "writer.add_uint32('a', 1)\nwriter.add_uint32('a', 2)\n"
        "logging.getLogger('gguf.vocab').warning('for developers')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_embedding_that_deepspeed_saved_empty(adapter: Path) -> None:
    """It was said to fit an embedding of one token."""
    store(adapter, {"base_model.model.model.embed_tokens.weight": (0,)})
    message = refusal(lambda: open_adapter(adapter))
    assert "model.embed_tokens.weight is empty: DeepSpeed ZeRO-3 saved it" in message


def test_an_alpha_of_0_is_no_merge_of_the_base_alone(adapter: Path) -> None:
    """As verl saves it: the merge was the base, and nothing said so."""
    configure(adapter, lora_alpha=0)
    assert "lora_alpha is 0, so that no lora_A and lora_B" in refusal(lambda: open_adapter(adapter))
    configure(adapter, alpha_pattern={"q_proj": 8})
    assert open_adapter(adapter).scales[0] == 0
