"""How a GGUF was made, from its own metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CONVERT = "baize.convert."
_LABELS = {
    "general.base_model.0.name": "base",
    "general.base_model.0.organization": "base by",
    "general.base_model.0.repo_url": "base at",
    "general.source.url": "made from",
    "general.license": "its licence",
    "general.quantized_by": "quantized by",
    f"{_CONVERT}base.repository": "base repository",
    f"{_CONVERT}base.commit": "base commit",
    f"{_CONVERT}base.files": "base files",
    f"{_CONVERT}base.sha256": "their SHA-256",
    f"{_CONVERT}version": "baize-convert",
    f"{_CONVERT}llama_cpp_python": "llama-cpp-python",
    f"{_CONVERT}merge_dtype": "merged in",
}
_ADAPTER = re.compile(re.escape(f"{_CONVERT}adapter.") + r"(\d+)\.(\w+)")


def lineage(metadata: Mapping[str, str]) -> dict[str, str]:
    """Base, adapters, hashes and tools by their labels for a person; empty if the file has none."""
    result = {label: metadata[key] for key, label in _LABELS.items() if metadata.get(key)}
    for key, value in metadata.items():
        if part := _ADAPTER.fullmatch(key):
            result[f"adapter {part[1]} {part[2]}"] = value
    return result
