"""Licences in words."""

from __future__ import annotations

UNKNOWN_LICENSE = "not stated"
"""In place of a licence that no file names."""
