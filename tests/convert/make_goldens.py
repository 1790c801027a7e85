"""Remake the golden files of PEFT: a tiny LLaMA, adapters of every kind, and PEFT's merges of them.

Not part of the tests; it needs PyTorch, transformers and PEFT::

    python -m tests.convert.make_goldens            # all
    python -m tests.convert.make_goldens matrix     # those of adapter_kinds.py alone

Last made with torch 2.15.0, transformers 5.23.0, peft 0.21.2.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).resolve().parent / "goldens"
MATRIX = FOLDER / "matrix.tar.xz"
BASE, BIASED = FOLDER / "base", FOLDER / "biased"
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "down_proj"]},
    "rslora": {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": ["q_proj"]},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj", "o_proj"],
        "rank_pattern": {"v_proj": 2, "layers.1.self_attn.q_proj": 3},
        "alpha_pattern": {"o_proj": 4, "layers.1.self_attn.q_proj": 32},
    },
    "dora": {"r": 4, "lora_alpha": 8, "use_dora": True, "target_modules": ["k_proj", "up_proj"]},
    "dora_embedding": {"r": 4, "use_dora": True, "target_modules": ["embed_tokens"]},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens"]},
    "head": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "q_proj"]},
    "tied": {"r": 4, "target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    "modules_to_save": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj"],
        "modules_to_save": ["norm"],
    },
    "saved_embedding": {"r": 4, "target_modules": ["v_proj"], "modules_to_save": ["embed_tokens"]},
    "tokens": {"r": 4, "target_modules": ["v_proj"], "trainable_token_indices": [5, 299, 7]},
    "resized": {"r": 4, "target_modules": ["v_proj"]},
    "resized_embedding": {"r": 4, "target_modules": ["v_proj", "embed_tokens"]},
    "lora_bias": {"r": 4, "lora_bias": True, "target_modules": ["q_proj", "o_proj"]},
    "trained_biases": {"r": 4, "bias": "all", "target_modules": ["k_proj", "v_proj"]},
    "lora_only_biases": {"r": 4, "bias": "lora_only", "target_modules": ["k_proj"]},
    "untied_head": {"r": 4, "target_modules": ["lm_head", "embed_tokens"]},
}
ON_BIASED = ("lora_bias", "trained_biases", "lora_only_biases", "untied_head")
"""Kinds that need a base with biases or its own head; all others use a base with neither."""
RESIZED = 308
"""Rows of the embedding after new tokens were added."""


def golden_base(kind: str) -> Path:
    return BIASED if kind in ON_BIASED else BASE


def make_base(folder: Path, **options: Any) -> None:
    """A LLaMA of two layers with grouped-query attention."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )
    save_base(LlamaForCausalLM(config), folder)


def save_base(model: Any, folder: Path) -> None:
    """Save a new model, whose biases are zero until then, with a tokenizer."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.02)
    model.save_pretrained(folder)
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    """A BPE of single bytes and one merge, as llama.cpp needs at least one."""
    # The letters that GPT-2 writes bytes with: those that are printable stand for themselves.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = [chr(byte) for byte in plain] + [chr(256 + at) for at in range(len(others))]
    tokens = ["<unk>", "<s>", "</s>", *letters, "th"]
    rules = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": id, "content": tokens[id], "special": True, **rules} for id in range(3)
        ],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": ["t h"],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def adapt(base: Any, kind: str) -> Any:
    """``base`` with an adapter of this kind, with weights that are not zero."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    if kind.startswith("resized"):
        base.resize_token_embeddings(RESIZED)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **KINDS[kind]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                parameter.normal_(0, 0.02)
            elif "magnitude" in name or "modules_to_save" in name or "trainable_tokens" in name:
                parameter.mul_(1.1)
            elif parameter.requires_grad and name.endswith("bias"):
                parameter.add_(0.01)
    return model


def make_adapter(kind: str) -> None:
    """The adapter, and the tensors that PEFT's merge changes."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    folder = FOLDER / kind
    base = AutoModelForCausalLM.from_pretrained(golden_base(kind), dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = adapt(base, kind)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    # No path of the machine it was made on.
    file = folder / "adapter_config.json"
    settings = {**json.loads(file.read_text()), "base_model_name_or_path": "base"}
    file.write_text(json.dumps(settings, indent=2) + "\n")
    if kind == "plain":
        _save_as_bin(folder)
    tied = base.config.tie_word_embeddings
    if tied and kind != "tokens":
        untie(model)
    merged = model.merge_and_unload().state_dict()
    changed = {
        name: tensor.contiguous().clone()
        for name, tensor in merged.items()
        if not (tied and kind == "tokens" and name == "lm_head.weight")
        and not torch.equal(tensor, before[name])
    }
    save_file(changed, folder / "merged.safetensors")


def untie(model: Any) -> None:
    """Give a model that shares its embedding with the head a separate head.

    In training an adapter of one leaves the other alone; PEFT's merge would write into both.
    """
    import torch

    head = model.get_base_model().lm_head
    while hasattr(head, "base_layer"):
        head = head.base_layer
    head.weight = torch.nn.Parameter(head.weight.detach().clone())


def _save_as_bin(folder: Path) -> None:
    """Save the adapter as PyTorch does now, and as it did before 1.6."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    torch.save(tensors, folder / "adapter_model.bin")
    torch.save(tensors, folder / "legacy.bin", _use_new_zipfile_serialization=False)


def make_views() -> None:
    """Save views of one storage in a ``.bin``, and their contents in safetensors."""
    import torch
    from safetensors.torch import save_file

    whole = torch.arange(48, dtype=torch.bfloat16).reshape(6, 8)
    views = {"whole": whole, "transposed": whole.T, "columns": whole[:, 2:5], "rows": whole[4:]}
    views["every_other"] = whole[::2, ::3]
    torch.save(views, FOLDER / "views.bin")
    copies = {name: view.contiguous().clone() for name, view in views.items()}
    save_file(copies, FOLDER / "views.safetensors")


def make_matrix() -> None:
    """Adapters of all kinds over a tied and an untied base; see ``adapter_kinds.py``."""
    from tests.convert import adapter_matrix

    with TemporaryDirectory() as folder:
        adapter_matrix.make_material(Path(folder))
        adapter_matrix.pack(Path(folder), MATRIX)


def main() -> None:
    if sys.argv[1:] == ["matrix"]:
        make_matrix()
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_base(BASE, tie_word_embeddings=True)
    make_base(BIASED, tie_word_embeddings=False, attention_bias=True, mlp_bias=True)
    for kind in KINDS:
        make_adapter(kind)
        print(kind)
    make_views()
    make_matrix()


if __name__ == "__main__":
    main()
