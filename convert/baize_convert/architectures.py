"""The kinds of model that can be converted, and what sets them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from baize_convert.failures import ConvertError


@dataclass(frozen=True)
class Architecture:
    """``name`` is that of GGUF, ``classes`` are those of transformers."""

    name: str
    classes: tuple[str, ...]
    pairs_rows: bool = False
    """llama.cpp's RoPE turns neighbours, where transformers turns halves of a head: rows of q and k
    change places. (For the others llama.cpp turns halves too.)"""
    head_norms: bool = False
    """q and k have a norm of their own."""
    head_size: int | None = None
    """Where the config does not say, and it is not the width over the heads."""
    tells_head_size: bool = False
    """Keys that llama.cpp's converter writes for this one alone: sizes of heads and vocabulary."""


LLAMA = Architecture(
    "llama",
    ("LlamaForCausalLM", "MistralForCausalLM", "LLaMAForCausalLM"),
    pairs_rows=True,
    tells_head_size=True,
)
QWEN2 = Architecture("qwen2", ("Qwen2ForCausalLM",))
QWEN3 = Architecture("qwen3", ("Qwen3ForCausalLM",), head_norms=True, head_size=128)
ARCHITECTURES = (LLAMA, QWEN2, QWEN3)


def architecture_of(classes: Iterable[str]) -> Architecture | None:
    """That of a model of these classes; None where none is known."""
    for known in ARCHITECTURES:
        if set(classes) & set(known.classes):
            return known
    return None


def architecture_named(name: object, where: object) -> Architecture:
    """That with this name in GGUF.

    Raises:
        ConvertError: none is known; ``where`` stands in the message.
    """
    for known in ARCHITECTURES:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in ARCHITECTURES)
    raise ConvertError(f"{where}: the architecture {name} cannot be converted; known: {names}")
