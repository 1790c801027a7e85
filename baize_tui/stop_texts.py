"""Stop strings as a person types them: one line, in which ``\\n`` is a new line."""

from __future__ import annotations

import re

_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
_NAMES = {value: name for name, value in _ESCAPES.items()}


def parse_stop(text: str) -> str:
    """The stop string that was typed as ``text``."""
    return re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], text)


def write_stop(stop: str) -> str:
    """A stop string as a person would type it."""
    return re.sub(r"[\n\t\\]", lambda match: _NAMES[match[0]], stop)
