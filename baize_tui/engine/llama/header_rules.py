"""What a header may not say: llama.cpp has no error for it, but aborts the process.

The rules are the assertions of the functions that are named, in the pinned version. What no header
shows, as a shape that no computation fits, ends the worker; the client then names the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_MOST_LAYERS = 512
_MOST_EXPERTS = 1024
_LONGEST_CONTEXT = 100_000_000
"""Tokens; ten times the longest of a real model. With 2^31 a context takes minutes to make."""
_ALIGNMENT = 32
"""``TENSOR_ALIGNMENT``: of weights that are used where they lie in a mapped file."""
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_EPSILONS = tuple(
    f"attention.{norm}_epsilon" for norm in ("layer_norm", "layer_norm_rms", "group_norm")
)
_ONE_EXPERT_IS_NONE = ("hunyuan-dense", "hunyuan_vl")
"""Architectures for which a single expert counts as none."""
_NO_WEIGHTS = {24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64"}
"""Types of tensors that no matrix product takes (``enum ggml_type``)."""
_TABLES = (".ffn_gate_tid2eid.",)
"""Tensors that are tables of integers, by a part of their names."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor, with the byte of the file at which it begins."""

    name: str
    type: int
    start: int


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """What the rules are about."""

    architecture: str
    numbers: Mapping[str, float]
    """The value of each key that has a number; of a list of numbers the largest."""
    texts: Mapping[str, str]
    tensors: Iterable[TensorPlace] = ()
    tokens: Callable[[], list[bytes]] = field(default=list)
    """The texts of the vocabulary, as C reads them: up to a zero byte."""

    def number(self, name: str) -> float:
        """The value of a key of the architecture; 0 without one."""
        return self.numbers.get(f"{self.architecture}.{name}", 0)


def why_it_aborts(values: HeaderValues) -> str | None:
    """Why llama.cpp would abort at a file with these ``values``; None if no rule says so."""
    return next((why for rule in _RULES if (why := rule(values)) is not None), None)


def _layers(values: HeaderValues) -> str | None:
    key = f"{values.architecture}.block_count"
    layers = values.numbers.get(key, 1)
    if not 1 <= layers <= _MOST_LAYERS:
        return f"{key} is {layers:g}: llama.cpp takes 1 to {_MOST_LAYERS} layers"
    if values.number("nextn_predict_layers") > layers:
        return f"{values.architecture}.nextn_predict_layers is more than all {layers:g} layers"
    return None


def _context(values: HeaderValues) -> str | None:
    key = f"{values.architecture}.context_length"
    tokens = values.numbers.get(key, 0)
    return f"{key} is {tokens:.0f}" if tokens > _LONGEST_CONTEXT else None


def _experts(values: HeaderValues) -> str | None:
    count, used = values.number("expert_count"), values.number("expert_used_count")
    groups, groups_used = (
        values.number("expert_group_count"),
        values.number("expert_group_used_count"),
    )
    if values.architecture in _ONE_EXPERT_IS_NONE and count <= 1:
        count = used = 0
    what = f"{count:g} experts ({values.architecture}.expert_count)"
    if count > _MOST_EXPERTS:
        return f"it has {what}: llama.cpp takes at most {_MOST_EXPERTS}"
    if used > count or (count and not used):
        return f"it uses {used:g} of {what}"
    if groups and groups >= count:
        return f"it has {groups:g} groups of {what}"
    if groups > 1 and (count % groups or not 0 < groups_used < groups):
        return f"it uses {groups_used:g} of {groups:g} groups of {what}"
    return None


def _epsilons(values: HeaderValues) -> str | None:
    for name in _EPSILONS:
        key = f"{values.architecture}.{name}"
        value = values.numbers.get(key, 0.0)
        if value < 0 or math.isnan(value):
            return f"{key} is {value:g}"
    return None


def _rope_scaling(values: HeaderValues) -> str | None:
    key = f"{values.architecture}.rope.scaling.type"
    kind = values.texts.get(key, "none")
    return f"{key} is {kind!r}" if kind not in _ROPE_SCALINGS else None


def _alignment(values: HeaderValues) -> str | None:
    for tensor in values.tensors:
        if tensor.start % _ALIGNMENT:
            return (
                f"tensor {tensor.name} begins at byte {tensor.start}, not at a multiple of "
                f"{_ALIGNMENT} (general.alignment)"
            )
    return None


def _types(values: HeaderValues) -> str | None:
    for tensor in values.tensors:
        if tensor.type in _NO_WEIGHTS and not any(part in tensor.name for part in _TABLES):
            return (
                f"tensor {tensor.name} has the type {_NO_WEIGHTS[tensor.type]}, as no weights have"
            )
    return None


def _tokens(values: HeaderValues) -> str | None:
    tokens = values.tokens()
    seen: set[bytes] = set()
    if len(set(tokens)) == len(tokens):
        return None
    for at, token in enumerate(tokens):
        token = token or b"[EMPTY_%d]" % at  # as llama.cpp names it
        if token in seen:
            return f"its vocabulary has the token {token.decode('utf-8', 'replace')!r} twice"
        seen.add(token)
    return None


_RULES: tuple[Callable[[HeaderValues], str | None], ...] = (
    _layers,  # llama_model_base::load_hparams
    _context,  # no abort, but no end
    _experts,
    _rope_scaling,
    _epsilons,  # ggml_compute_forward_norm, _rms_norm, _group_norm
    _alignment,  # ggml_backend_cpu_buffer_from_ptr
    _types,  # ggml_compute_forward_mul_mat, _mul, _get_rows
    _tokens,  # llama_vocab::impl::load
)
