"""The errors that servers send, also with status 200, and in the middle of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from baize_shared.json_errors import JSON_ERRORS

_FINE = (None, "", False, 0, 200, "0", "200")
"""Codes with which some servers send every answer."""


def find_error(body: object) -> object:
    """The error in decoded JSON, in a form that has the reason; None where there is none.

    OpenAI has a key for it. vLLM, FastChat, Zhipu and others send the error itself: a reason with a
    code, and no choices. A message alone may be one that keeps the connection open.
    """
    if not isinstance(body, Mapping):
        return None
    if error := body.get("error"):
        return error
    if "choices" in body:
        return None
    reason = next(
        (body[name] for name in ("message", "detail", "msg", "text") if body.get(name)), ""
    )
    if not isinstance(reason, str | list | Mapping) or not reason:
        return None
    fields: dict[str, Any] = {**body, "message": reason}
    is_error = body.get("object") == "error" or bool(body.get("detail"))
    codes = (body.get(name) for name in ("code", "error_code", "status_code"))
    return fields if is_error or any(code not in _FINE for code in codes) else None


def provider_error(body: object) -> object:
    """What the server behind a gateway says, as far as ``body``, an error of the gateway, has it.

    OpenRouter's own words are always the same: "Provider returned error".
    """
    metadata = body.get("metadata") if isinstance(body, Mapping) else None
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str):
        return raw
    try:
        decoded: object = msgspec.json.decode(raw)
    except JSON_ERRORS:
        return raw
    return decoded if isinstance(decoded, Mapping | list) else raw
