"""Names on the hub: ``hf:owner/name``, or ``hf:owner/name/folder@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.failures import ConvertError

HUB_PREFIX = "hf:"
_NAME = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<subfolder>[\w./ -]+?))?/?(?:@(?P<revision>[\w./-]+))?"
)


@dataclass(frozen=True)
class HubName:
    """A repository, a branch, tag or commit of it, and a folder in it; empty for its root."""

    repo: str
    revision: str = "main"
    subfolder: str = ""

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        inside = f"/{self.subfolder}" if self.subfolder else ""
        return f"{HUB_PREFIX}{self.repo}{inside}{at}"


def parse_name(text: str) -> HubName:
    """Parse ``text``, which starts with ``hf:``.

    Raises:
        ConvertError: it is not a name of this form.
    """
    match = _NAME.fullmatch(text.removeprefix(HUB_PREFIX))
    if match is None or ".." in text:
        raise ConvertError(
            f"{text}: not a name on the hub; write hf:owner/name, hf:owner/name/folder or "
            "hf:owner/name@revision"
        )
    return HubName(match["repo"], match["revision"] or "main", match["subfolder"] or "")
