"""The architectures that can be converted, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from baize_convert.failures import ConvertError


@dataclass(frozen=True)
class Architecture:
    """``name`` is the name in GGUF, ``classes`` are the classes of transformers."""

    name: str
    classes: tuple[str, ...]
    interleaves_rows: bool = False
    """llama.cpp's RoPE rotates pairs of neighbouring rows, transformers rotates the two halves of a
    head. So the rows of q and k are interleaved. (For other architectures both rotate halves.)"""
    head_norms: bool = False
    """Each layer has norms of q and k."""
    head_size: int | None = None
    """The default of transformers; None where it is the hidden size divided by the heads."""
    writes_head_size: bool = False
    """Whether llama.cpp's converter writes the sizes of heads and vocabulary as keys."""


LLAMA = Architecture(
    "llama",
    ("LlamaForCausalLM", "MistralForCausalLM", "LLaMAForCausalLM"),
    interleaves_rows=True,
    writes_head_size=True,
)
QWEN2 = Architecture("qwen2", ("Qwen2ForCausalLM",))
QWEN3 = Architecture("qwen3", ("Qwen3ForCausalLM",), head_norms=True, head_size=128)
ARCHITECTURES = (LLAMA, QWEN2, QWEN3)


def find_architecture(classes: Iterable[str]) -> Architecture | None:
    """The architecture of a model of these classes; None if none is known."""
    for architecture in ARCHITECTURES:
        if set(classes) & set(architecture.classes):
            return architecture
    return None


def parse_architecture(name: object, where: object) -> Architecture:
    """The architecture with this name in GGUF.

    Raises:
        ConvertError: no such architecture is known; the message begins with ``where``.
    """
    for architecture in ARCHITECTURES:
        if architecture.name == name:
            return architecture
    names = ", ".join(architecture.name for architecture in ARCHITECTURES)
    raise ConvertError(f"{where}: the architecture {name} cannot be converted; known: {names}")
