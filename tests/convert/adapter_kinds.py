"""Adapters of every kind that people have: how PEFT makes them, and which ones are refused.

``make_goldens.py`` keeps what PEFT makes of them, over a LLaMA of one layer whose head is the
embedding (tied) or its own (untied).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.convert.model_folders import read_safetensors, to_bytes, write_safetensors

RESIZED = 270
"""Rows of the embedding after new tokens were added."""
SHAPE: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 264,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_bias": True,
    "mlp_bias": True,
}
LAYER = "base_model.model.model.layers.0"


@dataclass(frozen=True)
class Made:
    """A kind that PEFT makes: the options of its ``LoraConfig``."""

    options: dict[str, Any]
    rows: int | None = None
    """The rows of the embedding after tokens were added or removed; None if none were."""
    saving: dict[str, Any] = field(default_factory=dict)
    """Options of ``save_pretrained``."""
    whole: bool = False
    """Whether the weights are the state dict of the whole model, as a script may save it."""
    edit: Callable[[Path], None] | None = None
    """What other programs do to the folder that PEFT saved."""
    refused: dict[bool, str] = field(default_factory=dict)
    """For tied (True) or untied (False): what the refusal says, if it cannot be merged."""
    resorted: bool = False
    """PEFT sorts the patterns when it saves them, and then another one counts."""
    unloadable: bool = False
    """PEFT cannot load what it saved for that reason; the trained model is the reference."""


@dataclass(frozen=True)
class Refused:
    """A kind that cannot be merged: a plain adapter, changed; and what the refusal names."""

    name: str
    edit: Callable[[Path], None]


def _rename(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Rename all keys."""

    def edit(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        tensors = read_safetensors(file)
        written = {
            change(name): ("F32", tensor.shape, to_bytes(tensor.read_all(), "F32"))
            for name, tensor in tensors.items()
        }
        write_safetensors(file, written)

    return edit


def _store(dtype: str) -> Callable[[Path], None]:
    """Store all weights in another type."""

    def edit(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        written = {}
        for name, tensor in read_safetensors(file).items():
            values = tensor.read_all()
            raw = values.astype(np.float64).tobytes() if dtype == "F64" else to_bytes(values, dtype)
            written[name] = (dtype, tensor.shape, raw)
        write_safetensors(file, written)

    return edit


def _config(**fields: Any) -> Callable[[Path], None]:
    """Change fields of the config; None removes one."""

    def edit(folder: Path) -> None:
        file = folder / "adapter_config.json"
        changed = {**json.loads(file.read_text()), **fields}
        kept = {key: value for key, value in changed.items() if key not in fields or value}
        file.write_text(json.dumps(kept, indent=2) + "\n")

    return edit


def _add(*keys: str) -> Callable[[Path], None]:
    """Add keys that do not belong to a LoRA of PEFT."""

    def edit(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        written = {
            name: ("F32", tensor.shape, to_bytes(tensor.read_all(), "F32"))
            for name, tensor in read_safetensors(file).items()
        }
        write_safetensors(file, written | dict.fromkeys(keys, ("F32", (1,), b"\x00" * 4)))

    return edit


def _into_subfolder(folder: Path) -> None:
    inside = folder / "checkpoint-500"
    inside.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.move(folder / name, inside)


def _beside_others(folder: Path) -> None:
    """As PEFT saves the adapter ``default`` and another one."""
    shutil.copytree(folder, folder / "other")
    _rename(lambda key: key.replace("q_proj", "v_proj"))(folder / "other")


def _into_two_subfolders(folder: Path) -> None:
    _into_subfolder(folder)
    shutil.copytree(folder / "checkpoint-500", folder / "checkpoint-1000")


def _into_mlx(folder: Path) -> None:
    _rename(lambda key: key.replace("lora_A.weight", "lora_a").replace("lora_B.weight", "lora_b"))(
        folder
    )
    shutil.move(folder / "adapter_model.safetensors", folder / "adapters.safetensors")
    parameters = {"rank": 4, "scale": 20.0, "dropout": 0.0}
    settings = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def _wrap(key: str) -> str:
    """As FSDP, activation checkpointing, DDP and torch.compile together name modules."""
    key = key.replace("layers.0.", "layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.")
    return "module._orig_mod." + key.replace("q_proj.", "q_proj._orig_mod.")


def _name(adapter: str) -> Callable[[str], str]:
    return lambda key: key.replace(".weight", f".{adapter}.weight")


_Q = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
_V = {"r": 4, "target_modules": ["v_proj"]}
_OVERLAPPING = {"model.layers.0.self_attn.q_proj": 3, "q_proj": 4}
_RESORTED = dict(reversed(_OVERLAPPING.items()))
_BOTH = ["embed_tokens", "lm_head"]
_OTHER_TOKENS = {"embed_tokens": [5, 7], "lm_head": [6]}

MADE: dict[str, Made] = {
    "LoRA": Made({"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}),
    "… with rsLoRA and alphas by pattern": Made(
        {
            **_Q,
            "target_modules": ["q_proj", "o_proj"],
            "use_rslora": True,
            "alpha_pattern": _RESORTED,
        },
        resorted=True,
    ),
    "… ranks by keys that overlap": Made(
        {**_Q, "rank_pattern": _OVERLAPPING, "alpha_pattern": _OVERLAPPING}
    ),
    "… ranks by keys that PEFT sorted": Made(
        {
            "r": 2,
            "lora_alpha": 8,
            "target_modules": ["down_proj"],
            "rank_pattern": {"layers.0.mlp.down_proj": 3, "down_proj": 4},
            "alpha_pattern": {"layers.0.mlp.down_proj": 5, "down_proj": 6},
        },
        unloadable=True,
    ),
    "… ranks by regexes and anchors": Made(
        {
            "r": 2,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "k_proj", "gate_proj", "o_proj"],
            "rank_pattern": {r"^model\.layers\.\d+\.self_attn\.(q|k)_proj": 3, ".*gate.*": 4},
            "alpha_pattern": {"^q_proj": 64, r".*\.layers\.0\..*(k_proj|o_proj)$": 32, "roj": 99},
        }
    ),
    "… by layers, with excluded modules": Made(
        {
            **_Q,
            "target_modules": ["q_proj", "v_proj"],
            "layers_to_transform": [0],
            "exclude_modules": ["v_proj"],
        }
    ),
    "… with biases of LoRA": Made({**_Q, "lora_bias": True}),
    "… with trained biases": Made({**_Q, "bias": "all"}),
    "DoRA": Made({**_Q, "target_modules": ["k_proj", "up_proj"], "use_dora": True}),
    "… with ranks by pattern": Made({**_Q, "use_dora": True, "rank_pattern": {"q_proj": 2}}),
    "initialized by EVA": Made({**_Q, "init_lora_weights": "eva"}),
    "initialized orthogonally": Made({**_Q, "init_lora_weights": "orthogonal"}),
    "initialized by MiCA": Made(
        {**_Q, "target_modules": ["q_proj", "embed_tokens"], "init_lora_weights": "mica"}
    ),
    "block-diagonal A and B": Made(
        {
            "r": 4,
            "target_modules": ["q_proj", "o_proj"],
            "use_bdlora": {
                "nblocks": 2,
                "target_modules_bd_a": ["o_proj"],
                "target_modules_bd_b": ["q_proj"],
            },
        }
    ),
    "trained with VeLoRA": Made({**_Q, "velora_config": {"num_groups": 2}}),
    "trained with MonteCLoRA": Made({**_Q, "monteclora_config": {"num_samples": 2}}),
    "LoRA of the embedding": Made({"r": 4, "target_modules": ["embed_tokens"]}),
    "LoRA of the head": Made({"r": 4, "target_modules": ["lm_head"]}),
    "LoRA of both": Made({"r": 4, "target_modules": _BOTH}),
    "LoRA of both, tied by PEFT": Made(
        {"r": 4, "target_modules": ["embed_tokens"], "ensure_weight_tying": True}
    ),
    "… with other alphas": Made(
        {
            "r": 4,
            "target_modules": ["embed_tokens"],
            "ensure_weight_tying": True,
            "alpha_pattern": {"lm_head": 99},
        }
    ),
    "… with a rank of the embedding": Made(
        {
            "r": 4,
            "target_modules": ["embed_tokens"],
            "ensure_weight_tying": True,
            "rank_pattern": {"embed_tokens": 2},
        }
    ),
    "trained tokens of the head, which PEFT should tie": Made(
        {**_V, "trainable_token_indices": {"lm_head": [6]}, "ensure_weight_tying": True}
    ),
    "DoRA of both, tied by PEFT": Made(
        {
            "r": 4,
            "target_modules": ["embed_tokens"],
            "ensure_weight_tying": True,
            "use_dora": True,
        }
    ),
    "DoRA of both": Made({"r": 4, "target_modules": _BOTH, "use_dora": True}),
    "a norm, saved": Made({**_Q, "modules_to_save": ["norm"]}),
    "a projection, saved, with trained biases": Made(
        {**_Q, "target_modules": ["k_proj"], "modules_to_save": ["q_proj"], "bias": "all"}
    ),
    "an MLP, saved, with trained biases": Made({**_Q, "modules_to_save": ["mlp"], "bias": "all"}),
    "an MLP, saved": Made({**_Q, "modules_to_save": ["mlp"]}),
    "the embedding, saved": Made({**_V, "modules_to_save": ["embed_tokens"]}),
    "the head, saved": Made({**_V, "modules_to_save": ["lm_head"]}),
    "both, saved": Made({**_V, "modules_to_save": _BOTH}),
    "both, saved and tied by PEFT": Made(
        {**_V, "modules_to_save": ["model.embed_tokens"], "ensure_weight_tying": True}
    ),
    "trained tokens": Made({**_V, "trainable_token_indices": [5, 263, 7]}),
    "trained tokens, others in the head": Made({**_V, "trainable_token_indices": _OTHER_TOKENS}),
    "trained tokens of the head": Made({**_V, "trainable_token_indices": {"lm_head": [6]}}),
    "new tokens": Made(_V, rows=RESIZED),
    "… LoRA of the embedding": Made(
        {"r": 4, "target_modules": ["embed_tokens"]},
        rows=RESIZED,
        refused={False: "lm_head, which it does not contain"},
    ),
    "… LoRA of the head": Made(
        {"r": 4, "target_modules": ["lm_head"]},
        rows=RESIZED,
        refused={False: "model.embed_tokens, which it does not contain"},
    ),
    "… LoRA of both": Made({"r": 4, "target_modules": _BOTH}, rows=RESIZED),
    "… the embedding, saved": Made({**_V, "modules_to_save": ["embed_tokens"]}, rows=RESIZED),
    "… the head, saved": Made({**_V, "modules_to_save": ["lm_head"]}, rows=RESIZED),
    "… both, saved": Made({**_V, "modules_to_save": _BOTH}, rows=RESIZED),
    "… both, saved and tied by PEFT": Made(
        {**_V, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, rows=RESIZED
    ),
    "… trained tokens": Made({**_V, "trainable_token_indices": [5, 266]}, rows=RESIZED),
    "… trained tokens, others in the head": Made(
        {**_V, "trainable_token_indices": _OTHER_TOKENS}, rows=RESIZED
    ),
    "… the embedding, saved without its base": Made(
        {**_V, "modules_to_save": ["embed_tokens"]},
        rows=RESIZED,
        saving={"save_embedding_layers": False},
        refused=dict.fromkeys((True, False), "lm_head, which it does not contain"),
    ),
    "fewer tokens": Made(_V, rows=262),
    "… with both saved": Made({**_V, "modules_to_save": _BOTH}, rows=262),
    "names of FSDP, checkpointing, DDP, torch.compile": Made(_Q, edit=_rename(_wrap)),
    "keys with the adapter's name": Made(_Q, edit=_rename(_name("mine"))),
    "keys of a model for images too": Made(
        {**_Q, "alpha_pattern": {"^language_model.model.layers.0": 99, "q_proj": 5}},
        edit=_rename(lambda key: key.replace("model.model.model.", "model.model.language_model.")),
    ),
    "weights in F16": Made(_Q, edit=_store("F16")),
    "weights in BF16": Made(_Q, edit=_store("BF16")),
    "weights in F64": Made(_Q, edit=_store("F64")),
    "the state of the whole model": Made(
        {**_Q, "modules_to_save": ["norm", "lm_head", "mlp"]}, whole=True
    ),
    "beside other adapters in folders": Made(_Q, edit=_beside_others),
    "in the folder checkpoint-500": Made(_Q, edit=_into_subfolder),
}
REFUSED: dict[str, Refused] = {
    "PiSSA": Refused("PiSSA", _config(init_lora_weights="pissa_niter_16")),
    "OLoRA": Refused("OLoRA", _config(init_lora_weights="olora")),
    "CorDA": Refused("CorDA", _config(init_lora_weights="corda")),
    "LoRA-GA": Refused("LoRA-GA", _config(init_lora_weights="lora_ga")),
    "LoftQ": Refused("LoftQ", _config(init_lora_weights="loftq")),
    "activated LoRA": Refused("activated LoRA", _config(alora_invocation_tokens=[1, 2])),
    "Arrow": Refused("Arrow", _config(arrow_config={"top_k": 2})),
    "KaSA": Refused("KaSA", _config(kasa_config={"beta": 1})),
    "QALoRA": Refused("QALoRA", _config(use_qalora=True)),
    "replicated layers": Refused("replicated layers", _config(layer_replication=[[0, 1], [0, 1]])),
    "experts": Refused("target_parameters", _config(target_parameters=["experts.down_proj"])),
    "a field of a newer PEFT": Refused("use_later", _config(use_later=True)),
    "IA3": Refused("IA3", _config(peft_type="IA3")),
    "AdaLoRA": Refused("ADALORA", _config(peft_type="ADALORA")),
    "VeRA": Refused("VERA", _config(peft_type="VERA")),
    "OFT": Refused("OFT", _config(peft_type="OFT")),
    "prefix tuning": Refused("PREFIX_TUNING adds tokens", _config(peft_type="PREFIX_TUNING")),
    "prompt tuning": Refused("PROMPT_TUNING adds tokens", _config(peft_type="PROMPT_TUNING")),
    "AdapterHub": Refused("AdapterHub", _config(peft_type=None, model_class="LlamaModel")),
    "MLX": Refused("MLX", _into_mlx),
    "kohya's scripts": Refused("kohya", _add("lora_unet_down.lora_down.weight")),
    "Diffusers": Refused("Diffusers", _add("unet.down_blocks.0.to_q.lora.down.weight")),
    "LyCORIS": Refused("LyCORIS", _add(f"{LAYER}.mlp.up_proj.hada_w1_a")),
    "a quantized base in its file": Refused(
        "a quantized base", _add(f"{LAYER}.mlp.up_proj.base_layer.weight.absmax")
    ),
    "states of an optimizer": Refused("an optimizer", _add("optimizer.state.0.exp_avg")),
    "a value head of TRL": Refused("value head", _add("v_head.summary.weight")),
    "an unknown key": Refused("unknown kind", _add(f"{LAYER}.self_attn.q_proj.lora_ga")),
    "two adapters in one file": Refused(
        "several adapters", _add(*(f"{LAYER}.mlp.up_proj.lora_A.{n}.weight" for n in ("a", "b")))
    ),
    "two adapters in one folder": Refused("2 adapters", _into_two_subfolders),
}


def make_tied_base(folder: Path, *, tied: bool) -> None:
    """The base of all these adapters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.convert.make_goldens import save_base

    torch.manual_seed(0)
    save_base(LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=tied)), folder)


def make_adapter(kind: Made, base: Path, folder: Path) -> None:
    """The adapter, as it is after ``edit``, and the tensors that PEFT's merge changes.

    PEFT loads what it saved, before ``edit``, and merges that.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import save_file

    model = get_peft_model(_load(base, kind), LoraConfig(task_type="CAUSAL_LM", **kind.options))
    _train(model)
    model.save_pretrained(folder, **kind.saving)
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (folder / "README.md").unlink(missing_ok=True)
    _config(base_model_name_or_path="base")(folder)
    merged = _merge(model)
    if not kind.unloadable:
        loaded = _merge(PeftModel.from_pretrained(_load(base, kind), folder))
        if not kind.refused and not kind.resorted:
            for name, tensor in merged.items():
                assert torch.allclose(tensor, loaded[name], atol=1e-7), (folder, name)
        merged = loaded
    before = _load(base, kind, resized=False).state_dict()
    changed = {
        name: tensor.contiguous().clone()
        for name, tensor in merged.items()
        if not torch.equal(tensor, before[name])
    }
    if kind.whole:
        save_file(whole, folder / "adapter_model.safetensors")
    if kind.edit is not None:
        kind.edit(folder)
    save_file(changed, folder / "merged.safetensors")


def _load(base: Path, kind: Made, *, resized: bool = True) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if kind.rows is not None and resized:
        model.resize_token_embeddings(kind.rows)
    return model


def _train(model: Any) -> None:
    """Weights as after a training: none is zero, and all that are trained have changed.

    Numbers that BF16 can represent, so that the type of a file changes nothing.
    """
    import torch

    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name or "lora_B" in name or "lora_embedding" in name:
                parameter.normal_(0, 0.1)
                parameter.copy_(parameter.to(torch.bfloat16))
            elif "magnitude" in name or "modules_to_save" in name or "trainable_tokens" in name:
                parameter.mul_(1.1)
            elif parameter.requires_grad and name.endswith("bias"):
                parameter.add_(0.01)


def _merge(model: Any) -> dict[str, Any]:
    """PEFT's merge, without its fault: it writes changes of one into a head tied to the other."""
    untie(model)
    merged: dict[str, Any] = model.merge_and_unload().state_dict()
    return merged


def untie(model: Any) -> None:
    """Give a head that shares the embedding's tensor its own copy of it, under all wrappers."""
    import torch

    head = model.get_base_model().lm_head
    inner = ("token_adapter", "original_module", "base_layer")
    while name := next((name for name in inner if name in head._modules), None):
        head = head._modules[name]
    head.weight = torch.nn.Parameter(head.weight.detach().clone())


def make_refused(kind: Refused, plain: Path, folder: Path) -> None:
    """A plain adapter, changed into one that is refused."""
    shutil.copytree(plain, folder, ignore=shutil.ignore_patterns("merged.safetensors"))
    kind.edit(folder)
