"""What can go wrong in a call into llama.cpp."""

from __future__ import annotations


class EngineError(Exception):
    """llama.cpp refused or failed; the message is one line that names the cause."""


class ModelFileError(EngineError):
    """The file is not a model, or not one that llama.cpp can load."""


class Aborted(Exception):
    """The abort flag stopped a decode call."""
