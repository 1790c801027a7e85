"""The C libraries beneath the bindings: libc, and the parts of ggml that llama_cpp leaves out."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp._ctypes_extensions import load_shared_library

libc = ctypes.CDLL(ctypes.util.find_library("c") or None)

Signature = tuple[Any, Sequence[Any]]
"""The ctypes of a function's result and of its arguments."""


def ggml_library(name: str, signatures: Mapping[str, Signature]) -> ctypes.CDLL:
    """The library ``name`` that llama-cpp-python ships, with ``signatures`` declared."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    library: ctypes.CDLL = load_shared_library(name, folder)
    for function_name, (result, arguments) in signatures.items():
        function = getattr(library, function_name)
        function.restype, function.argtypes = result, arguments
    return library
