"""What a failed request to a server means for the request and for the run."""

from __future__ import annotations

import openai

from baize_train.speakers.durations import read_duration
from baize_train.speakers.rate_limits import read_reset
from baize_train.speakers.refusals import kind_of_refusal, read_refusal
from baize_train.speakers.speaker import SpeakerError
from baize_tui.engine.remote.server_faults import SERVER_ERRORS, ServerFaults

_SHORT = 100
"""Characters of a reason that tell it apart from others."""
__all__ = ["SERVER_ERRORS", "explain_failure"]


def explain_failure(error: BaseException, faults: ServerFaults) -> SpeakerError:
    """The meaning of ``error``, one of ``SERVER_ERRORS``."""
    failure = faults.failure(error)
    why = str(failure)
    if failure.kind == "too_long":
        return SpeakerError(f"the dialogue is longer than the model's context: {why}", "request")
    if not isinstance(error, openai.APIStatusError):
        return SpeakerError(why, "temporary")
    refusal = read_refusal(error.body)
    if refusal.reason and not _mentions(why, refusal.reason):
        why = f"{why}: {refusal.reason}"
    after = _retry_after(error)
    if after is None:
        after = refusal.wait_s
    return SpeakerError(why, kind_of_refusal(error.status_code, refusal), retry_after_s=after)


def _mentions(why: str, reason: str) -> bool:
    """Whether ``why`` has the server's words, perhaps shortened."""
    return reason[:_SHORT] in why


def _retry_after(error: openai.APIStatusError) -> float | None:
    headers = error.response.headers
    if (milliseconds := read_duration(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    after = read_duration(headers.get("retry-after", ""), headers.get("date", ""))
    if after is not None:
        return after
    return read_reset(headers) if error.status_code == 429 else None
