"""What decoding JSON can raise."""

from __future__ import annotations

JSON_ERRORS = (ValueError, RecursionError)
"""For ``except``. ``ValueError`` is the base of msgspec's errors, of ``json.JSONDecodeError`` and
``UnicodeDecodeError``; a file of nothing but brackets ends in ``RecursionError``."""
