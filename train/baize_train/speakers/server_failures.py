"""What a failed request to a server means for the request and for the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import openai
from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_train.speakers.durations import read_duration
from baize_train.speakers.server_response import read_rate_limits
from baize_train.speakers.speaker import ErrorKind, SpeakerError
from baize_tui.engine.remote.server_faults import SERVER_ERRORS, ServerFaults

__all__ = ["SERVER_ERRORS", "Refusal", "explain_failure", "read_refusal"]

_TEMPORARY = (408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
_NO_MONEY = re.compile(
    r"insufficient_quota|billing|credit balance|exceeded your current quota", re.I
)
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


class Refusal(Struct, frozen=True):
    """The body of an error."""

    reason: str = ""
    """The server's own words."""
    code: str = ""
    parameter: str = ""

    @property
    def text(self) -> str:
        return f"{self.code} {self.reason}"


def read_refusal(error: openai.APIError) -> Refusal:
    """What the server says about a refused request."""
    body = error.body
    fields: Mapping[Any, Any] = body if isinstance(body, Mapping) else {}
    inner = fields.get("error")
    fields = inner if isinstance(inner, Mapping) else fields
    reason = next(
        (str(fields[name]) for name in ("message", "detail", "msg") if fields.get(name)),
        inner if isinstance(inner, str) else "",
    )
    codes = " ".join(str(fields[name]) for name in ("code", "type") if fields.get(name))
    return Refusal(
        clean_line(reason, _REASON),
        clean_line(codes, 100),
        clean_line(str(fields.get("param")), 60),
    )


def explain_failure(error: BaseException, faults: ServerFaults) -> SpeakerError:
    """The meaning of ``error``, one of ``SERVER_ERRORS``."""
    failure = faults.failure(error)
    why = str(failure)
    if failure.kind == "too_long":
        return SpeakerError(f"the dialogue is longer than the model's context: {why}", "request")
    if not isinstance(error, openai.APIStatusError):
        return SpeakerError(why, "temporary")
    refusal, status = read_refusal(error), error.status_code
    if refusal.reason and refusal.reason not in why:
        why = f"{why}: {refusal.reason}"
    after = _retry_after(error)
    return SpeakerError(why, _kind(status, refusal), retry_after_s=after)


def _kind(status: int, refusal: Refusal) -> ErrorKind:
    if status == 402 or _NO_MONEY.search(refusal.text):
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


def _retry_after(error: openai.APIStatusError) -> float | None:
    headers = error.response.headers
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        seconds = read_duration(milliseconds)
        return None if seconds is None else seconds / 1000
    after = read_duration(headers.get("retry-after", ""), headers.get("date", ""))
    if after is not None:
        return after
    limits = read_rate_limits(headers)
    if error.status_code != 429 or limits is None:
        return None
    resets = [
        reset
        for left, reset in (
            (limits.requests, limits.requests_reset_s),
            (limits.tokens, limits.tokens_reset_s),
        )
        if left == 0 and reset > 0
    ]
    return max(resets, default=None)
