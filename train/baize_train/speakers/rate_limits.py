"""What a server says about its limits, in headers and in the bodies of errors."""

from __future__ import annotations

from collections.abc import Mapping

from baize_train.speakers.durations import read_duration
from baize_train.speakers.speaker import RateLimits


def read_rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """What ``headers`` say is left: OpenAI's names, OpenRouter's, or those of the IETF's draft."""

    def first(*names: str) -> str:
        return next((headers[name] for name in names if name in headers), "")

    def duration(*names: str) -> float:
        return read_duration(first(*names), headers.get("date", "")) or 0.0

    requests = _whole_number(
        first("x-ratelimit-remaining-requests", "ratelimit-remaining", "x-ratelimit-remaining")
    )
    tokens = _whole_number(first("x-ratelimit-remaining-tokens"))
    if requests is None and tokens is None:
        return None
    return RateLimits(
        requests,
        duration("x-ratelimit-reset-requests", "ratelimit-reset", "x-ratelimit-reset"),
        tokens,
        duration("x-ratelimit-reset-tokens"),
    )


def read_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that is used up ends; None where ``headers`` do not say it."""
    limits = read_rate_limits(headers)
    if limits is None:
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


def read_reset_in_error(error: Mapping[object, object]) -> float | None:
    """The same in the body of an error: OpenRouter's copy of the headers, or Google's details."""
    metadata = error.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, Mapping) else None
    if isinstance(headers, Mapping):
        return read_reset({str(name).lower(): str(value) for name, value in headers.items()})
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and (seconds := read_duration(delay)) is not None:
            return seconds
    return None


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
