"""Names of repositories on the hub: ``hf:owner/name`` or ``hf:owner/name@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.failures import ConvertError

HUB_PREFIX = "hf:"
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubName:
    """A repository and a branch, tag or commit in it."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{HUB_PREFIX}{self.repo}{at}"


def parse_name(text: str) -> HubName:
    """Parse ``text``, which starts with ``hf:``.

    Raises:
        ConvertError: it is not a name of this form.
    """
    match = _NAME.fullmatch(text.removeprefix(HUB_PREFIX))
    if match is None or ".." in text:
        raise ConvertError(
            f"{text}: not a name on the hub; write hf:owner/name or hf:owner/name@revision"
        )
    return HubName(match["repo"], match["revision"] or "main")
