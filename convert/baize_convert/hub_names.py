"""Names on the hub: ``hf:owner/name``, or with ``@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.failures import ConvertError

PREFIX = "hf:"
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubName:
    """``hf:owner/name@revision``."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{PREFIX}{self.repo}{at}"


def parse_name(text: str) -> HubName:
    """The name in ``text``, which begins with ``hf:``.

    Raises:
        ConvertError: it is none.
    """
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None or ".." in text:
        raise ConvertError(f"{text}: not a name on the hub; write hf:owner/name or with @revision")
    return HubName(found["repo"], found["revision"] or "main")
