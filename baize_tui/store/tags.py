"""The tags of a conversation: names that the person gives it, without spaces, in any case."""

from __future__ import annotations

import re
from collections.abc import Iterable

from baize_shared.sanitizer import clean_line

_LONGEST = 40
"""Characters of a tag."""
_BETWEEN = re.compile(r"""[\s,#"]+""")


def clean_tag(text: str) -> str:
    """``text`` as a tag; empty if nothing of it can be one."""
    return _BETWEEN.sub("-", clean_line(text)).strip("-")[:_LONGEST].strip("-")


def clean_tags(texts: Iterable[str]) -> list[str]:
    """``texts`` as tags, each once, in their order; of two that differ in case, the first."""
    tags: dict[str, str] = {}
    for tag in map(clean_tag, texts):
        if tag:
            tags.setdefault(tag_key(tag), tag)
    return [*tags.values()]


def split_tags(text: str) -> list[str]:
    """The tags in a line that a person typed, with spaces or commas between them."""
    return clean_tags(part for part in _BETWEEN.split(clean_line(text)))


def tag_key(tag: str) -> str:
    """What two tags have in common that are the same: their case does not count."""
    return tag.casefold()
