"""Every architecture: llama.cpp's logits beside transformers', and merges beside PEFT's.

The files here are those that transformers and PEFT write, so PyTorch is needed. A rule of an
architecture that both llama.cpp's converter and this one lack would show in the logits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.sources.architectures import MODEL_CLASSES, ModelClass
from baize_convert.sources.model_config import read_config
from tests.convert.make_goldens import BASE
from tests.convert.model_folders import SHAPES, convert_folder
from tests.sweeps import swept

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.training
TOKENS = [1, 60, 77, 130, 200, 90, 33, 33, 41, 250, 7, 99, 100, 101, 8, 60, 61, 62, 160, 3]
COMMON = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
WIDE = {
    "hidden_size": 128,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SHORT_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
LONGROPE = {"short_factor": [1.0, 1.5, 2.0] * 4, "long_factor": [1.0, 3.0, 5.0] * 4}
# name: model_type and config, chosen so that every rule of the architecture has an effect
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**WIDE, "attention_bias": True, "mlp_bias": True, "head_dim": 48}),
    "llama3": ("llama", {**WIDE, "rope_parameters": {**SHAPES["biased"]["rope_parameters"]}}),
    "linear": ("llama", {**WIDE, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "yarn": ("llama", {**WIDE, "rope_scaling": SHAPES["yarn"]["rope_scaling"]}),
    "yarn_attention_factor": (
        "llama",
        {**WIDE, "rope_scaling": {**SHAPES["yarn"]["rope_scaling"], "attention_factor": 1.7}},
    ),
    "yarn_mscale": (
        "llama",
        {
            **WIDE,
            "rope_scaling": {
                **SHAPES["yarn"]["rope_scaling"],
                "mscale": 4.0,
                "mscale_all_dim": 1.0,
            },
        },
    ),
    "mistral": ("mistral", {**WIDE, "head_dim": 48}),
    "qwen2": ("qwen2", {**WIDE, "rope_theta": 1e6}),
    "qwen3": ("qwen3", {**WIDE, "head_dim": 48}),
    "smollm3": ("smollm3", {**WIDE, "num_hidden_layers": 5}),
    "gemma2": (
        "gemma2",
        {
            **WIDE,
            "head_dim": 48,
            "query_pre_attn_scalar": 48,
            "sliding_window": 4,
            "final_logit_softcapping": 2.0,
            "attn_logit_softcapping": 1.0,
        },
    ),
    "gemma2_theta": (
        "gemma2",
        {**WIDE, "head_dim": 32, "query_pre_attn_scalar": 32, "rope_theta": 500.0},
    ),
    "gemma2_27b": (
        "gemma2",
        {**WIDE, "head_dim": 48, "query_pre_attn_scalar": 32, "num_hidden_layers": 46},
    ),
    "gemma3": (
        "gemma3_text",
        {
            **WIDE,
            "num_hidden_layers": 7,
            "head_dim": 48,
            "query_pre_attn_scalar": 48,
            "sliding_window": 4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "rope_theta": 2e5,
            "rope_local_base_freq": 500.0,
        },
    ),
    "gemma3_without_windows": (
        "gemma3_text",
        {
            **WIDE,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 4,
            "sliding_window_pattern": 1,
            "final_logit_softcapping": 2.0,
            "tie_word_embeddings": False,
        },
    ),
    "phi3": ("phi3", {**WIDE}),
    "phi3_partial": ("phi3", {**WIDE, "partial_rotary_factor": 0.75, "tie_word_embeddings": True}),
    "phi3_longrope": (
        "phi3",
        {
            **WIDE,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", **LONGROPE},
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
        },
    ),
    "phi3_longrope_long_text": (
        "phi3",
        {
            **WIDE,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", **LONGROPE},
            "max_position_embeddings": 64,
            "original_max_position_embeddings": 16,
        },
    ),
    "granite": (
        "granite",
        {
            **WIDE,
            "attention_bias": True,
            "mlp_bias": True,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.3,
            "residual_multiplier": 0.4,
            "logits_scaling": 5.0,
        },
    ),
    "olmo2": ("olmo2", {**WIDE, "rope_theta": 500000.0}),
}
TOLERANCES = {  # llama.cpp computes GELU from a table of float16
    "gemma2": 1e-3,
    "gemma2_theta": 1e-3,
    "gemma2_27b": 1e-2,
    "gemma3": 1e-3,
    "gemma3_without_windows": 1e-3,
}
"""The largest difference of a logit, in standard deviations; 1e-4 for models not in here."""
ADAPTED = ("mistral", "qwen3", "smollm3", "gemma2", "gemma3", "phi3_partial", "granite", "olmo2")


def random_model(model_type: str, config: dict[str, Any]) -> Any:
    """A model with weights of a size at which attention prefers some tokens to others."""
    torch.manual_seed(4)
    described = transformers.AutoConfig.for_model(model_type, **{**COMMON, **config})
    described._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(described).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.15)
    return model.eval()


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((BASE / name).read_bytes())
    return folder


def tabulated_gelu(values: Any) -> Any:
    """GELU as ggml's CPU computes it, from a table of float16."""
    half = values.half().float()
    return torch.nn.functional.gelu(half, approximate="tanh").half().float()


def logits_of(model: Any) -> NDArray[np.float32]:
    """Logits after each of ``TOKENS``, [tokens, vocabulary]."""
    for module in model.modules():
        if type(getattr(module, "act_fn", None)).__name__ == "GELUTanh":
            del module.act_fn
            module.act_fn = tabulated_gelu
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.tensor([TOKENS])).logits[0].float().numpy()
    return logits


def llama_logits(file: Path, adapter_file: Path | None = None) -> NDArray[np.float32]:
    """Logits after each of ``TOKENS`` with keys and values in float32, [tokens, vocabulary]."""
    model = lib.llama_model_load_from_file(str(file).encode(), lib.llama_model_default_params())
    assert model
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch = 64, 64
    params.type_k = params.type_v = 0  # GGML_TYPE_F32
    params.flash_attn_type = 0
    context = lib.llama_init_from_model(model, params)
    assert context
    if adapter_file is not None:
        adapter = lib.llama_adapter_lora_init(model, str(adapter_file).encode())
        assert adapter
        adapters, scales = (type(adapter) * 1)(adapter), (lib.ctypes.c_float * 1)(1.0)
        kind = lib.llama_set_adapters_lora.argtypes[1]
        lib.llama_set_adapters_lora(context, lib.ctypes.cast(adapters, kind), 1, scales)
    rows = []
    count = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    for token in TOKENS:
        ids = (lib.llama_token * 1)(token)
        assert lib.llama_decode(context, lib.llama_batch_get_one(ids, 1)) == 0
        rows.append(np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (count,)).copy())
    lib.llama_free(context)
    lib.llama_model_free(model)
    return np.array(rows)


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    model = random_model(*MODELS[name])
    convert_folder(save(model, tmp_path / "model"), "F32", tmp_path / "out.gguf")
    wanted, ours = logits_of(model), llama_logits(tmp_path / "out.gguf")
    assert np.abs(ours - wanted).max() < TOLERANCES.get(name, 1e-4) * wanted.std()


UNUSUAL: list[tuple[str, dict[str, Any]]] = [
    ("qwen2", {"rope_scaling": {}, "rope_parameters": {"rope_type": "default", "rope_theta": 700}}),
    ("llama", {"rope_parameters": {**SHORT_LLAMA3, "original_max_position_embeddings": 16}}),
    ("llama", {"rope_parameters": SHORT_LLAMA3, "max_position_embeddings": 16}),
    ("yarn", {"rope_scaling": {**SHAPES["yarn"]["rope_scaling"], "attn_factor": 1.9}}),
]


@pytest.mark.parametrize(("name", "fields"), UNUSUAL)
def test_unusual_configs_mean_what_they_mean_to_transformers(
    name: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    """Configs that transformers reads but does not write."""
    folder = save(random_model(*MODELS[name]), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    convert_folder(folder, "F32", tmp_path / "out.gguf")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    wanted, ours = logits_of(model.float().eval()), llama_logits(tmp_path / "out.gguf")
    assert np.abs(ours - wanted).max() < 1e-4 * wanted.std()


@pytest.mark.parametrize("known", MODEL_CLASSES, ids=lambda known: known.model_types[0])
def test_the_defaults_are_those_of_transformers(known: ModelClass, tmp_path: Path) -> None:
    theirs = transformers.AutoConfig.for_model(known.model_types[0]).to_dict()
    rope = theirs.pop("rope_parameters")
    theirs["rope_theta"] = rope.get("full_attention", rope)["rope_theta"]
    if "sliding_attention" in rope:
        theirs["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    if not theirs.get("use_sliding_window", True):
        theirs.pop("sliding_window")  # transformers sets it to None; ``windowed_layers`` ignores it
    (tmp_path / "config.json").write_text(json.dumps({"model_type": known.model_types[0]}))
    config = read_config(tmp_path)
    # llama.cpp's converter writes the sizes that follow from others, whether they are given or not.
    ours = {**msgspec.structs.asdict(config), "num_key_value_heads": config.kv_heads}
    ours["rope_theta"] = config.rope.rope_theta
    derived = {"layer_types", "no_rope_layers", "architectures", "model_type", "eos_token_id"}
    for name in (theirs.keys() & ours.keys()) - derived - {"bos_token_id"}:
        if name == "head_dim" and ours[name] is None:
            ours[name] = config.head_size
        assert ours[name] == theirs[name], name


def adapt(model: Any, folder: Path, **options: Any) -> Any:
    """``model`` with a LoRA of all its linear modules, saved to ``folder``."""
    torch.manual_seed(5)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options}
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
            elif "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(folder)
    return adapted


@pytest.mark.parametrize("name", swept(ADAPTED, "gemma3", "phi3_partial", "granite", "olmo2"))
def test_merges_equal_those_of_peft(name: str, tmp_path: Path) -> None:
    """Into a folder and into a GGUF, with a norm that was trained as a whole."""
    base = save(random_model(*MODELS[name]), tmp_path / "base")
    convert_folder(base, "F32", tmp_path / "base.gguf")
    adapted = adapt(random_model(*MODELS[name]), tmp_path / "lora", modules_to_save=["norm"])
    merged = open_base(save(adapted.merge_and_unload(), tmp_path / "merged")).tensors
    for source in (base, tmp_path / "base.gguf"):
        convert_folder(source, "F32", tmp_path / "ours.gguf", tmp_path / "lora")
        ours = open_base(tmp_path / "ours.gguf").tensors
        assert set(ours) == set(merged)
        for module, tensor in merged.items():
            wanted = tensor.read_all()
            assert np.abs(ours[module].read_all() - wanted).max() <= 2e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("name", swept(ADAPTED, "smollm3", "gemma2", "phi3_partial", "granite"))
def test_an_adapter_file_gives_the_logits_of_the_merge(name: str, tmp_path: Path) -> None:
    base = save(random_model(*MODELS[name]), tmp_path / "base")
    adapted = adapt(random_model(*MODELS[name]), tmp_path / "lora")
    lora = tmp_path / "lora.gguf"
    write_adapter(open_base(base), open_adapter(tmp_path / "lora"), lora, "f32")
    convert_folder(base, "F32", tmp_path / "base.gguf")
    wanted = logits_of(adapted)
    at_run_time = llama_logits(tmp_path / "base.gguf", lora)
    convert_folder(base, "F32", tmp_path / "merged.gguf", lora)
    for ours in (at_run_time, llama_logits(tmp_path / "merged.gguf")):
        assert np.abs(ours - wanted).max() < TOLERANCES.get(name, 1e-4) * wanted.std()


def test_the_text_part_of_a_model_with_a_vision_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As transformers saves it, with a LoRA of both parts."""
    model_type, text = MODELS["gemma3"]
    torch.manual_seed(4)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.Gemma3Config(
        text_config={**COMMON, **text, "model_type": model_type},
        vision_config={**vision, "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
    )
    model = transformers.Gemma3ForConditionalGeneration(config).float().eval()
    base = save(model, tmp_path / "base")
    adapted = adapt(model, tmp_path / "lora", target_modules=["q_proj", "down_proj"])
    files = ["--adapter", str(tmp_path / "lora"), "--outtype", "F32"]
    assert run(["merge", str(base), *files, "--output", str(tmp_path / "out.gguf")]) == 0
    assert "the vision part of the model is left out" in capsys.readouterr().err
    wanted, ours = logits_of(adapted), llama_logits(tmp_path / "out.gguf")
    assert np.abs(ours - wanted).max() < TOLERANCES["gemma3"] * wanted.std()


def test_a_head_that_llama_cpp_shares_with_the_embedding(tmp_path: Path) -> None:
    """Gemma 2: a file may have a copy of the embedding, but no other head."""
    base = save(random_model(*MODELS["gemma2"]), tmp_path / "base")
    adapt(random_model(*MODELS["gemma2"]), tmp_path / "lora", target_modules=["embed_tokens"])
    with pytest.raises(ConvertError, match=r"head and the embedding different.*gemma2 has one"):
        convert_folder(base, "F32", tmp_path / "out.gguf", tmp_path / "lora")
    model = random_model("gemma2", {**MODELS["gemma2"][1], "tie_word_embeddings": False})
    untied = save(model, tmp_path / "untied")
    with pytest.raises(ConvertError, match=r"lm_head is not the embedding.*gemma2"):
        open_base(untied)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.model.embed_tokens.weight)
    convert_folder(save(model, tmp_path / "equal"), "F32", tmp_path / "equal.gguf")
    assert "lm_head.weight" not in open_base(tmp_path / "equal.gguf").tensors
