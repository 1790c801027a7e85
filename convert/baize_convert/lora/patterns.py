"""Regexes in the config of an adapter, which come from strangers."""

from __future__ import annotations

import re
from functools import lru_cache

from baize_convert.failures import ConvertError

_LONGEST_PATTERN = 500
_MOST_REPEATS = 3


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str, template: str = "{}") -> re.Pattern[str]:
    """``pattern``, where ``template`` has braces.

    Raises:
        ConvertError: it is not a regex, or a match could take too long.
    """
    if len(pattern) > _LONGEST_PATTERN or _may_be_slow(pattern):
        raise ConvertError(f"the pattern {pattern[:80]!r} in adapter_config.json is too complex")
    try:
        return re.compile(template.replace("{}", pattern))
    except re.error as error:
        raise ConvertError(f"the pattern {pattern!r} in adapter_config.json: {error}") from error


def _may_be_slow(key: str) -> bool:
    """Whether the time that a match takes could explode: a repeated group, or many repeats."""
    return bool(re.search(r"\)\s*[*+{]", key)) or len(re.findall(r"[*+{]", key)) > _MOST_REPEATS
