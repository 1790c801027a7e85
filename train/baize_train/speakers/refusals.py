"""What a server says about a request that it refuses, and what that means for others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_train.speakers.durations import read_wait
from baize_train.speakers.rate_limits import read_reset_in_error
from baize_train.speakers.speaker import ErrorKind
from baize_tui.engine.remote.error_bodies import provider_error

_TEMPORARY = (408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
_NO_MONEY = re.compile(
    r"insufficient_quota|billing|credit balance|exceeded your current quota|insufficient balance"
    r"|arrearage|good standing|余额不足|欠费|(used|out of) (all |any )?(available |your )?credits"
    r"|spending limit|budget[ _]?(has been )?exceeded|exceeded ?budget",
    re.I,
)
_WRONG_KEY = re.compile(
    r"api[ _]key[ _](not valid|invalid|expired)|(invalid|incorrect) api key", re.I
)
"""Of servers that refuse a key with 400."""
_FILTERED = re.compile(
    r"content[_ ](filter|policy|management)|moderation|flagged|safety system|responsible ai", re.I
)
_UNKNOWN_MODEL = re.compile(
    r"model_not_found|model[`'\" ]+\S+[`'\" ]+(does not exist|not found)|unknown model"
    r"|not a valid model|no such model",
    re.I,
)
_TEMPLATE = re.compile(
    r"roles? must|must alternate|roles should|system role|system message|jinja|chat template"
    r"|template error|only (user|supports)",
    re.I,
)
_REASON = 300
_READ = 4000
"""Characters of a reason in which something is looked for."""


class Refusal(Struct, frozen=True):
    """The body of an error."""

    reason: str = ""
    """The server's own words."""
    code: str = ""
    parameter: str = ""
    status: int | None = None
    """In the body: some servers send errors with status 200."""
    wait_s: float | None = None
    """How long it asks to wait."""

    @property
    def text(self) -> str:
        return f"{self.code} {self.reason}"


def read_refusal(body: object, *, is_behind: bool = False) -> Refusal:
    """What the decoded ``body`` of an error says.

    ``is_behind``: it is that of the server behind a gateway, which has none behind it.
    """
    fields = _mapping(body)
    inner = fields.get("error")
    fields = _mapping(inner) or fields
    said = next((fields[name] for name in ("message", "detail", "msg") if fields.get(name)), inner)
    if not is_behind and (behind := provider_error(fields)):
        its_own = read_refusal(behind, is_behind=True).reason
        said = its_own or (behind if isinstance(behind, str) else said)
    if isinstance(said, list):  # what a validation complains about
        said = "; ".join(str(_mapping(one).get("msg") or one) for one in said[:3])
    reason = clean_line(str(said), _READ) if said and not isinstance(said, Mapping) else ""
    codes = " ".join(str(fields[name]) for name in ("code", "type", "status") if fields.get(name))
    code = fields.get("code")
    wait_s = read_wait(reason)
    if wait_s is None:
        wait_s = read_reset_in_error(fields)
    return Refusal(
        clean_line(reason, _REASON),
        clean_line(codes, 100),
        clean_line(str(fields.get("param")), 60),
        code if isinstance(code, int) and 400 <= code < 600 else None,
        wait_s,
    )


def kind_of_refusal(status: int, refusal: Refusal) -> ErrorKind:
    """What a refusal means for this request and for others."""
    # Google's 429 for a minute is about a quota too, but says when it ends.
    out_of_money = _NO_MONEY.search(refusal.text) and (
        refusal.wait_s is None or "insufficient_quota" in refusal.code
    )
    if status == 402 or out_of_money or (status == 400 and _WRONG_KEY.search(refusal.text)):
        return "fatal"
    if status == 429:
        return "rate limit"
    if status in (400, 403, 422, 451) and _FILTERED.search(refusal.text):
        return "request"
    if status >= 400 and _TEMPLATE.search(refusal.text):
        return "template"
    if status in _TEMPORARY:
        return "temporary"
    if status in (400, 413, 422) and not _UNKNOWN_MODEL.search(refusal.text):
        return "request" if status == 413 else "unclear"
    return "fatal"


def _mapping(value: object) -> Mapping[Any, Any]:
    """``value``, or the first of a list, as Google's servers send."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, Mapping) else {}
