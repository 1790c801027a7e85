"""A PEFT adapter: what it changes of which module, with every key accounted for.

Maths and names: ``LoraLayer`` and ``LoraModel`` of peft/tuners/lora (layer.py, model.py,
variants.py) and ``get_pattern_key`` of peft/utils/other.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from baize_convert.architectures import Architecture
from baize_convert.elsewhere import Elsewhere
from baize_convert.failures import ConvertError
from baize_convert.row_changes import (
    Dora,
    EmbeddingDora,
    EmbeddingLowRank,
    LowRank,
    RowChange,
    Shift,
    TokenRows,
)
from baize_convert.safetensors_file import parse_safetensors
from baize_convert.stored_tensors import ITEM_BYTES, ByteSource, MappedFile, Tensor
from baize_convert.torch_file import parse_torch_file

_WRAPPERS = ("base_model.", "_orig_mod.", "_fsdp_wrapped_module.", "module.")
_PARTS = re.compile(
    r"(?P<module>.+?)\.(?P<kind>lora_A|lora_B|lora_embedding_A|lora_embedding_B|"
    r"lora_magnitude_vector|modules_to_save|base_layer|token_adapter)(?:\.(?P<rest>.+))?"
)
_REFUSED_INITS = ("pissa", "olora", "corda", "loftq", "eva", "lora_ga", "mica", "orthogonal")
_REFUSED_FIELDS = {
    "target_parameters": "parameters of experts",
    "layer_replication": "replicated layers",
    "use_qalora": "QALoRA",
    "megatron_config": "Megatron's parallel layers",
    "arrow_config": "Arrow routing",
    "corda_config": "CorDA",
    "kasa_config": "KaSA",
}


class AdapterConfig(Struct, frozen=True):
    """``adapter_config.json``; fields that change no weight are left out.

    ``fan_in_fan_out`` is one: PEFT heeds it for Conv1D alone, and a LLaMA has none.
    """

    r: int = 8
    lora_alpha: float = 8
    peft_type: str = "LORA"
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    lora_bias: bool = False
    ensure_weight_tying: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    init_lora_weights: Any = True
    alora_invocation_tokens: Any = None
    modules_to_save: list[str] = []
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    base_model_name_or_path: str | None = None

    def token_ids(self, module: str) -> tuple[int, ...]:
        """The tokens whose rows of ``module`` are trained."""
        match self.trainable_token_indices:
            case None:
                return ()
            case list(ids):
                return tuple(ids)
            case of_module:
                # PEFT ties the head to the embedding, whichever of them is named.
                return tuple(
                    next((ids for key, ids in of_module.items() if module.endswith(key)), ())
                )


@dataclass
class ModuleChange:
    """What an adapter does to one module; ``scale`` is alpha / r, or alpha / sqrt(r) (rsLoRA)."""

    a: Tensor | None = None
    """[r, in]"""
    b: Tensor | None = None
    """[out, r]"""
    scale: float = 0.0
    magnitude: Tensor | None = None
    """DoRA's [out]; of an embedding [hidden]."""
    bias: Tensor | None = None
    """Of lora_B, [out]."""
    token_ids: tuple[int, ...] = ()
    token_rows: Tensor | None = None
    """[tokens, hidden]"""
    replaced: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that stand in for the base's, by "weight" or "bias"."""
    rebased: bool = False
    """What is replaced is the base's own (a resized embedding), not a copy trained in its place."""
    is_embedding: bool = False

    @property
    def rank(self) -> int:
        return 0 if self.a is None else self.a.shape[0]

    def of_weight(self, source: Tensor, weight: float) -> list[RowChange]:
        """The steps that change the module's weight, which is ``source`` before them."""
        found: list[RowChange] = []
        if self.a is not None and self.b is not None:
            if self.is_embedding:
                embedding = EmbeddingLowRank(self.a, self.b, self.scale, weight)
                found.append(
                    embedding
                    if self.magnitude is None
                    else EmbeddingDora(embedding, self.magnitude, source)
                )
            else:
                low_rank = LowRank(self.a, self.b, self.scale, weight)
                found.append(low_rank if self.magnitude is None else Dora(low_rank, self.magnitude))
        if self.token_rows is not None:
            found.append(TokenRows(self.token_ids, self.token_rows))
        return found

    def of_bias(self, weight: float) -> list[RowChange]:
        """The steps that change the module's bias."""
        return [] if self.bias is None else [Shift(self.bias, self.scale * weight)]

    @property
    def counts_whole(self) -> str | None:
        """Why this cannot be weighed or added to another adapter's; None where it can."""
        if self.magnitude is not None:
            return "is DoRA"
        if self.token_rows is not None:
            return "has trained tokens"
        return "is replaced" if self.replaced else None

    @property
    def is_zero(self) -> bool:
        """Whether it was never trained: one of A and B is all zero, and there is nothing else."""
        if self.a is None or self.b is None or self.bias is not None:
            return False
        if self.replaced or self.token_rows is not None:
            return False
        return not self.a.read().any() or not self.b.read().any()


@dataclass(frozen=True)
class Adapter:
    """An adapter folder. ``weight`` multiplies all it adds."""

    path: Path
    config: AdapterConfig
    changes: dict[str, ModuleChange]
    weight: float
    files: tuple[ByteSource, ...]
    """Those that it was read from, the weights at last."""
    name: str
    architecture: Architecture | None = None
    """That of its base, where the file says it."""
    commit: str | None = None
    """That of its repository, of one on the hub."""


def name_of(path: Path) -> str:
    """The name of a folder, or of a file without its ending."""
    return path.resolve().stem if path.is_file() else path.resolve().name


def open_peft_adapter(
    folder: Path, weight: float = 1.0, elsewhere: Elsewhere | None = None
) -> Adapter:
    """Read the adapter in a folder that PEFT saved; ``elsewhere`` has weights that are not in it.

    Raises:
        ConvertError: none, one that does nothing, one whose maths are not known, or a key that fits
            nothing; the message names the field or the key.
    """
    config = _read_config(folder)
    source, read = _weights(folder, elsewhere)
    file = source.path
    changes: dict[str, ModuleChange] = {}
    for key, tensor in read(source).items():
        if tensor.dtype not in ITEM_BYTES:
            raise ConvertError(f"{file}: {key} is of type {tensor.dtype}, which is no weight")
        _take(key, tensor, changes, config, folder)
    if not changes:
        raise ConvertError(f"{file} holds no weights: the adapter was saved empty")
    for module, change in changes.items():
        _set_tokens(module, change, config, folder)
        complete(module, change, folder)
        if change.rank:
            change.scale = _scale(module, change.rank, config)
    refuse_untrained(file, changes)
    sources = (MappedFile(folder / "adapter_config.json"), source)
    return Adapter(folder, config, changes, weight, sources, name_of(folder))


def _weights(
    folder: Path, elsewhere: Elsewhere | None
) -> tuple[ByteSource, Callable[[ByteSource], Mapping[str, Tensor]]]:
    """The file with the weights, and how to read it."""
    kinds: tuple[tuple[str, Callable[[ByteSource], Mapping[str, Tensor]]], ...] = (
        ("adapter_model.safetensors", parse_safetensors),
        ("adapter_model.bin", parse_torch_file),
    )
    for name, read in kinds:
        if (folder / name).is_file():
            return MappedFile(folder / name), read
        if elsewhere is not None and elsewhere.has(name):
            return elsewhere.open(name), read
    raise ConvertError(f"{folder} has no adapter_model.safetensors and no adapter_model.bin")


def refuse_untrained(path: Path, changes: Mapping[str, ModuleChange]) -> None:
    """Raise ``ConvertError`` for an adapter that changes nothing."""
    if all(change.is_zero for change in changes.values()):
        raise ConvertError(f"{path}: every lora_B is zero: the adapter was never trained")


def _read_config(folder: Path) -> AdapterConfig:
    path = folder / "adapter_config.json"
    try:
        raw = path.read_bytes()
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        known = {key: value for key, value in fields.items() if value is not None}
        config = msgspec.convert(known, AdapterConfig)
    except FileNotFoundError as error:
        raise ConvertError(f"{folder} has no adapter_config.json: not a PEFT adapter") from error
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConvertError(f"{path}: {error}") from error
    if config.peft_type != "LORA":
        raise ConvertError(f"{path}: peft_type {config.peft_type} is not LoRA")
    init = config.init_lora_weights
    if isinstance(init, str) and init.lower().startswith(_REFUSED_INITS):
        raise ConvertError(
            f"{path}: init_lora_weights {init!r} changed the base too: save the adapter with "
            "path_initial_model_for_weight_conversion, which makes it a plain LoRA"
        )
    if config.alora_invocation_tokens:
        raise ConvertError(
            f"{path}: alora_invocation_tokens: an activated LoRA counts only after its tokens and "
            "cannot be merged"
        )
    for name, what in _REFUSED_FIELDS.items():
        if fields.get(name):
            raise ConvertError(f"{path}: {name} ({what}) cannot be merged yet")
    return config


def module_of(key: str) -> str:
    """The name of a module or tensor of the base, without the wrappers of PEFT and PyTorch."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if key.startswith(wrapper):
                key, stripped = key.removeprefix(wrapper), True
    # base_model.model.model.layers: the inner one is the LlamaForCausalLM.
    while key.startswith("model.model.") or (key.startswith("model.lm_head")):
        key = key.removeprefix("model.")
    return key


def _take(
    key: str,
    tensor: Tensor,
    changes: dict[str, ModuleChange],
    config: AdapterConfig,
    folder: Path,
) -> None:
    name = module_of(key)
    found = _PARTS.fullmatch(name)
    if found is None:
        # A trained bias, or a module saved whole: modules_to_save is not in its name any more.
        module, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            raise ConvertError(f"{folder}: the key {key} is of no kind that is known")
        change = changes.setdefault(module, ModuleChange())
        change.replaced[kind] = tensor
        change.rebased = not any(module.endswith(saved) for saved in config.modules_to_save)
        return
    module, kind = found["module"], found["kind"]
    rest = (found["rest"] or "weight").split(".")
    change = changes.setdefault(module, ModuleChange())
    if kind in ("modules_to_save", "base_layer"):
        if rest[-1] not in ("weight", "bias"):
            raise ConvertError(f"{folder}: the key {key} is of no kind that is known")
        change.replaced[rest[-1]] = tensor
        change.rebased = kind == "base_layer"
    elif kind == "token_adapter":
        if rest[0] != "trainable_tokens_delta":
            raise ConvertError(f"{folder}: the key {key} is of no kind that is known")
        change.token_rows = tensor
    elif kind == "lora_B" and rest[-1] == "bias":
        change.bias = tensor
    elif kind == "lora_magnitude_vector":
        change.magnitude = tensor
    elif rest[-1] == "bias":
        raise ConvertError(f"{folder}: the key {key} is of no kind that is known")
    elif kind.endswith("A"):
        change.a = tensor
        change.is_embedding = kind == "lora_embedding_A"
    else:
        change.b = tensor


def _set_tokens(module: str, change: ModuleChange, config: AdapterConfig, folder: Path) -> None:
    if change.token_rows is None:
        return
    change.token_ids = config.token_ids(module)
    if len(change.token_ids) != change.token_rows.rows:
        raise ConvertError(
            f"{folder}: {module} has {change.token_rows.rows} trained tokens, but "
            f"trainable_token_indices names {len(change.token_ids)}"
        )


def complete(module: str, change: ModuleChange, path: Path) -> None:
    """Check that A, B, magnitude and bias of a module are there together, and fit each other.

    Raises:
        ConvertError: they are not; the module is named.
    """
    if (change.a is None) != (change.b is None):
        missing = "lora_A" if change.a is None else "lora_B"
        raise ConvertError(f"{path}: {module} has no {missing}")
    if change.a is None or change.b is None:
        if change.bias is not None or change.magnitude is not None:
            raise ConvertError(f"{path}: {module} has no lora_A and no lora_B")
        return
    for part, matrix in (("lora_A", change.a), ("lora_B", change.b)):
        if len(matrix.shape) != 2 or 0 in matrix.shape:
            raise ConvertError(f"{path}: {module}: {part} is {list(matrix.shape)}: no matrix")
        if not np.isfinite(matrix.read()).all():
            raise ConvertError(f"{path}: {module}.{part} holds NaN or infinity")
    if change.a.shape[0] != change.b.shape[1]:
        raise ConvertError(
            f"{path}: {module}: lora_A {list(change.a.shape)} and lora_B {list(change.b.shape)} "
            "do not fit each other"
        )
    outputs = change.b.shape[0]
    for part, vector in (("lora_magnitude_vector", change.magnitude), ("lora_B.bias", change.bias)):
        if vector is not None and math.prod(vector.shape) != outputs:
            raise ConvertError(
                f"{path}: {module}: {part} is {list(vector.shape)} for {outputs} outputs"
            )


def _scale(module: str, rank: int, config: AdapterConfig) -> float:
    alpha = _pattern(config.alpha_pattern, module, config.lora_alpha)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


def _pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The first pattern whose key ends the module's name, as PEFT's ``get_pattern_key``."""
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
