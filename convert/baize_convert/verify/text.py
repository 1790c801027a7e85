"""The text in many scripts that tokenizers and predictions are compared on."""

from __future__ import annotations

from importlib.resources import files

DEFAULT_TOKENS = 768
"""Tokens of the text that are predicted."""


def verification_text() -> str:
    return files("baize_convert.verify").joinpath("text.txt").read_text("utf-8")
