"""Sizes in words."""

from __future__ import annotations


def size_text(size: int) -> str:
    """Bytes for a person: 0.3 MB, 98 MB, 4.1 GB."""
    if size < 10e6:
        return f"{size / 1e6:.1f} MB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
