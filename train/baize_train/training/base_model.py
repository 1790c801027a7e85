"""Load the base with PyTorch, from a Hugging Face folder or a LLaMA GGUF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from baize_convert.failures import first_few
from baize_shared.sanitizer import clean_line
from baize_train.errors import TrainError
from baize_train.training.kernels import NO_KERNELS, Kernels

Quantization = Literal["none", "int8", "4bit"]
Device = Literal["cuda", "mps", "cpu"]


def choose_device() -> Device:
    """The best device that PyTorch can use here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_base(
    base: Path,
    quantization: Quantization = "none",
    kernels: Kernels = NO_KERNELS,
    *,
    device: Device | None = None,
    full: bool = False,
) -> Any:
    """The model in memory, a ``LlamaForCausalLM`` or similar.

    Its weights are in float32 on a CPU and in bfloat16 on a GPU, or on an NVIDIA GPU in 8 or 4 bits
    (bitsandbytes). With ``full`` they are in float32 on a GPU too: all of them are to be trained,
    and bfloat16 would round most steps of a small learning rate away.

    Raises:
        TrainError: PyTorch cannot load it or not all of it, or quantization or kernels have no GPU.
    """
    import torch
    from transformers import AutoModelForCausalLM

    _refuse_adapter(base)
    device = device or choose_device()
    kernels.require_gpu(device)
    if device == "cuda":  # each of several processes has its own GPU
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    exact = full or device == "cpu"
    options: dict[str, Any] = {"dtype": torch.float32 if exact else torch.bfloat16}
    if kernels.flash_attention:
        options["attn_implementation"] = "flash_attention_2"
    if quantization != "none":
        if device != "cuda":
            raise TrainError(
                f"--quantize {quantization} needs an NVIDIA GPU, and PyTorch finds none here"
            )
        options["quantization_config"] = _quantization_config(quantization)
        options["device_map"] = {"": torch.cuda.current_device()}
    folder = base
    if base.is_file():
        # transformers dequantizes it to float32. The merge starts from the quantized file again.
        folder, options["gguf_file"] = base.parent, base.name
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, ImportError, NotImplementedError) as error:
        raise TrainError(
            f"{base} cannot be loaded for training: {clean_line(str(error), 800)}"
        ) from error
    _refuse_random_weights(base, sorted(loaded["missing_keys"]), sorted(loaded["unexpected_keys"]))
    if base.is_file():
        model = _without_quantization_mark(model)
    model.config.use_cache = False
    return model


def _refuse_adapter(base: Path) -> None:
    """transformers would load the model that an adapter in the folder names, and the adapter.

    Raises:
        TrainError: there is one.
    """
    if (base / "adapter_config.json").is_file():
        raise TrainError(
            f"{base} has an adapter (adapter_config.json): give the folder of its base as --base, "
            "and the adapter as --adapter to continue it"
        )


def _refuse_random_weights(base: Path, missing: list[str], unexpected: list[str]) -> None:
    """Raises:
    TrainError: the base lacks weights, which transformers has initialized with random numbers.
    """
    if not missing:
        return
    others = f", but {first_few(unexpected, limit=1)}" if unexpected else ""
    raise TrainError(
        f"{base} lacks weights of its model, and training would begin with random ones: "
        f"{clean_line(first_few(missing), 200)}{clean_line(others, 200)}: save the model again "
        "with transformers, with all weights under its own names"
    )


def _quantization_config(quantization: Literal["int8", "4bit"]) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _without_quantization_mark(model: Any) -> Any:
    """A model with the weights of ``model`` that can be trained and saved.

    transformers marks a model from a GGUF as quantized, although its weights are in float32, and
    then refuses to train or save it.
    """
    import torch

    del model.config.quantization_config
    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    # Buffers outside the state dict, such as the frequencies of RoPE.
    for name, buffer in model.named_buffers():
        owner, _, short = name.rpartition(".")
        plain.get_submodule(owner).register_buffer(short, buffer, persistent=False)
    plain.generation_config = model.generation_config
    return plain


def count_parameters(model: Any, *, trainable: bool = False) -> int:
    """The number of parameters, or of the trainable ones."""
    return sum(
        # A 4-bit tensor stores two parameters in a byte.
        (p.numel() * 2 if p.__class__.__name__ == "Params4bit" else p.numel())
        for p in model.parameters()
        if p.requires_grad or not trainable
    )
