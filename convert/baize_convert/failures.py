"""What can go wrong with a file or an adapter; every message is one line that names it."""

from __future__ import annotations


class ConvertError(Exception):
    """The conversion cannot be done; the message says what is wrong and what to do."""
