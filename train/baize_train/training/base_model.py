"""The base as PyTorch sees it: a Hugging Face folder, one of the hub, or a LLaMA GGUF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from baize_train.errors import TrainError

Quantization = Literal["none", "int8", "4bit"]


def base_folder(base: str) -> Path:
    """Where ``base`` lies; one of the hub (``hf:``) is downloaded first.

    Raises:
        TrainError: it is not there, or the hub does not hand it out.
    """
    from baize_convert import hub, hub_names
    from baize_convert.failures import ConvertError
    from baize_tui.catalog.recipes import CatalogError, find_model
    from baize_tui.paths import project_paths

    if base.startswith(hub_names.PREFIX):
        try:
            name = hub_names.parse_name(base)
            hub.keep_weights(name)
            return hub.open_repository(name).folder
        except ConvertError as error:
            raise TrainError(str(error)) from error
    path = Path(base).expanduser()
    if path.exists():
        return path.absolute()
    try:
        model = find_model(base, project_paths())
    except CatalogError as error:
        raise TrainError(f"{base}: no such folder or file, and {error}") from error
    if model.path is None:
        raise TrainError(f"{base} is not here yet: baize-tui models pull {base}")
    return model.path


def device() -> str:
    """``cuda``, ``mps`` or ``cpu``: the best that PyTorch can use here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_base(base: Path, quantization: Quantization = "none", *, on: str | None = None) -> Any:
    """The model in memory, its weights frozen as they are: a ``LlamaForCausalLM`` or the like.

    In float32 on a processor, in bfloat16 on a GPU, or there in 8 or 4 bits (bitsandbytes).

    Raises:
        TrainError: PyTorch cannot load it, or there is no GPU for what is quantized.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    on = on or device()
    if on == "cuda":  # each of several processes has a GPU of its own
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    options: dict[str, Any] = {"dtype": torch.float32 if on == "cpu" else torch.bfloat16}
    if quantization != "none":
        if on != "cuda":
            raise TrainError(
                f"--quantize {quantization} needs an NVIDIA GPU, and PyTorch sees none here"
            )
        options["quantization_config"] = (
            BitsAndBytesConfig(load_in_8bit=True)
            if quantization == "int8"
            else BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
        )
        options["device_map"] = {"": torch.cuda.current_device()}
    folder: Path = base
    if base.is_file():
        # Its weights come out in 32 bits; what is trained is laid over the quantized file later.
        folder, options["gguf_file"] = base.parent, base.name
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, ImportError, NotImplementedError) as error:
        why = " ".join(str(error).split())
        raise TrainError(f"{base} cannot be loaded for training: {why}") from error
    if base.is_file():
        model = _unmarked(model)
    model.config.use_cache = False
    return model


def _unmarked(model: Any) -> Any:
    """transformers marks a model that came out of a GGUF as quantized, and then neither trains nor
    saves it, though its weights are whole."""
    import torch

    del model.config.quantization_config
    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    # Buffers that no state holds, as the frequencies of RoPE.
    for name, buffer in model.named_buffers():
        owner, _, short = name.rpartition(".")
        plain.get_submodule(owner).register_buffer(short, buffer, persistent=False)
    plain.generation_config = model.generation_config
    return plain


def count_parameters(model: Any, *, trainable: bool = False) -> int:
    """How many numbers a model has, or of these how many are trained."""
    return sum(
        # A 4-bit tensor holds two numbers in a byte.
        (p.numel() * 2 if p.__class__.__name__ == "Params4bit" else p.numel())
        for p in model.parameters()
        if p.requires_grad or not trainable
    )
