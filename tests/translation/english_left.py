"""What is left of the English messages in a text that should be in Chinese."""

from __future__ import annotations

import re
import string
from functools import cache

from babel.messages.pofile import read_po

from baize_tui.translation import catalog_file
from tests.translation.update_catalogs import forms


@cache
def _english_parts() -> list[str]:
    """What the messages say between their fields, where Chinese says it in other words."""
    parts: set[str] = set()
    with catalog_file("zh").with_suffix(".po").open("rb") as opened:
        for message in read_po(opened):
            for text in (id for id in forms(message.id) if id != message.string):
                literals = (literal for literal, *_ in string.Formatter().parse(text))
                parts.update(part.strip(" ·:,.;“”()") for part in literals if " " in part.strip())
    return sorted(part for part in parts if len(re.findall(r"[A-Za-z]{2,}", part)) > 1)


def english_in(text: str) -> list[str]:
    """The English messages in ``text``, or parts of them."""
    words = " ".join(text.split())
    return [p for p in _english_parts() if re.search(rf"(?<!\w){re.escape(p)}(?!\w)", words)]
