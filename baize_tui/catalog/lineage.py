"""How a GGUF was made, from its own metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping

from baize_tui.translation import msg

_CONVERT = "baize.convert."
_LABELS = {
    "general.base_model.0.name": msg("base"),
    "general.base_model.0.organization": msg("base by"),
    "general.base_model.0.repo_url": msg("base at"),
    "general.source.url": msg("made from"),
    "general.license": msg("its licence"),
    "general.quantized_by": msg("quantized by"),
    f"{_CONVERT}base.repository": msg("base repository"),
    f"{_CONVERT}base.commit": msg("base commit"),
    f"{_CONVERT}base.files": msg("base files"),
    f"{_CONVERT}base.sha256": msg("their SHA-256"),
    f"{_CONVERT}version": "baize-convert",
    f"{_CONVERT}llama_cpp_python": "llama-cpp-python",
    f"{_CONVERT}merge_dtype": msg("merged in"),
}
ADAPTER = msg("adapter {number} {part}")
"""A label of each adapter."""
_ADAPTER = re.compile(re.escape(f"{_CONVERT}adapter.") + r"(\d+)\.(\w+)")


def lineage(metadata: Mapping[str, str]) -> dict[str, str]:
    """Base, adapters, hashes and tools by their labels, which are messages; empty if the file has
    none."""
    result = {label: metadata[key] for key, label in _LABELS.items() if metadata.get(key)}
    for key, value in metadata.items():
        if part := _ADAPTER.fullmatch(key):
            result[ADAPTER.format(number=part[1], part=part[2])] = value
    return result
