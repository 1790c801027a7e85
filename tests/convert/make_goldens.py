"""Make the goldens of PEFT anew: a tiny LLaMA, adapters of every kind, and what PEFT merges.

Not part of the tests; it needs PyTorch, transformers and PEFT::

    python tests/convert/make_goldens.py

Last made with torch 2.15.0, transformers 5.23.0, peft 0.21.2.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "goldens"
BASE = FOLDER / "base"
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
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens"]},
    "modules_to_save": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj"],
        "modules_to_save": ["norm"],
    },
}


def make_base() -> None:
    """A LLaMA of two layers with grouped-query attention and tied embeddings."""
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
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(BASE)
    letters = [chr(code) for code in range(256, 512)]
    # llama.cpp takes no BPE vocabulary without a merge.
    tokens = ["<unk>", "<s>", "</s>", *letters, letters[0] + letters[1]]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": id, "content": tokens[id], "special": True, "normalized": False}
            for id in range(3)
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": [f"{letters[0]} {letters[1]}"],
        },
    }
    (BASE / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (BASE / "tokenizer_config.json").write_text(json.dumps(settings))


def make_adapter(kind: str, options: dict[str, Any]) -> None:
    """An adapter with weights that are not zero, and the tensors that PEFT's merge changes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    folder = FOLDER / kind
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                parameter.normal_(0, 0.02)
            elif "magnitude" in name or "modules_to_save" in name:
                parameter.mul_(1.1)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    # No path of the machine it was made on.
    file = folder / "adapter_config.json"
    settings = {**json.loads(file.read_text()), "base_model_name_or_path": "base"}
    file.write_text(json.dumps(settings, indent=2) + "\n")
    if kind == "plain":
        _save_as_bin(folder)
    merged = model.merge_and_unload().state_dict()
    changed = {
        name: tensor.contiguous().clone()
        for name, tensor in merged.items()
        if name != "lm_head.weight" and not torch.equal(tensor, before[name])
    }
    save_file(changed, folder / "merged.safetensors")


def _save_as_bin(folder: Path) -> None:
    """The same adapter as PyTorch writes it now, and as it did before 1.6."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    torch.save(tensors, folder / "adapter_model.bin")
    torch.save(tensors, folder / "legacy.bin", _use_new_zipfile_serialization=False)


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_base()
    for kind, options in KINDS.items():
        make_adapter(kind, options)
        print(kind)


if __name__ == "__main__":
    main()
