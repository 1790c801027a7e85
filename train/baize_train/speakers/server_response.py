"""What a server answers: the text of a completion, or why there is none."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line, without_surrogates
from baize_train.speakers.refusals import Refusal, kind_of_refusal, read_refusal
from baize_train.speakers.speaker import Cost, Reply, SpeakerError
from baize_tui.engine.prompts.thought_splitter import split_text
from baize_tui.engine.remote.chunks import text_in, thoughts_in
from baize_tui.engine.remote.end_reasons import End, read_end
from baize_tui.engine.remote.error_bodies import find_error

_CHARACTERS_PER_TOKEN = 4
"""Usually, for an estimate where a server does not count."""
_MOST_OVER = 10
"""A count of answer tokens over this many times what was asked for is wrong."""
_PROMPT_OVERHEAD = 4096
"""Tokens that a template may add to a prompt."""
_REASON = 160


class _Message(Struct):
    """Of any types: an answer that is paid for is not thrown away for a field beside it."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None


class _Choice(Struct):
    message: _Message
    finish_reason: Any = None
    error: Any = None
    """OpenRouter's, about a provider that failed while it wrote."""


class _Completion(Struct):
    """What is read of a completion; the library would check nothing of what a server sends."""

    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: Any = None


def read_completion(body: bytes, place: str, prompt_bytes: int, max_tokens: int) -> Reply:
    """The reply in a completion.

    ``prompt_bytes`` is the length of the messages in UTF-8 and ``max_tokens`` what was asked for:
    counts that cannot be true are replaced by estimates.

    Raises:
        SpeakerError: there is no text in it.
    """
    raw: Any = None
    try:
        # Some servers send a token that has half a character, as it is.
        raw = without_surrogates(json.loads(body.decode("utf-8-sig", "replace")))
        answer = msgspec.convert(raw, _Completion)
    except JSON_ERRORS as error:
        _raise_refusal(raw, place)
        what = "a web page" if body.lstrip()[:1] == b"<" else "something that is no answer"
        raise SpeakerError(f"{place} sends {what}: is the address right?", "temporary") from error
    choice = answer.choices[0]
    message = choice.message
    reason = choice.finish_reason if isinstance(choice.finish_reason, str) else ""
    text, thoughts = _text_and_thoughts(message)
    prompt_tokens, completion_tokens = _count_tokens(
        answer.usage, prompt_bytes, len((text + thoughts).encode()), max_tokens
    )
    end = read_end(reason)
    if end == "failed":
        _raise_refusal({"error": choice.error}, place)
    if (why := _why_no_reply(message, text, thoughts, end)) is not None:
        raise SpeakerError(why, "request", cost=Cost(prompt_tokens, completion_tokens))
    if end == "failed" or not text.strip():
        what = f"has broken off the answer ({clean_line(reason, 40)})"
        what = what if end == "failed" else "sends an answer without text"
        cost = Cost(prompt_tokens, completion_tokens)
        raise SpeakerError(f"{place} {what}", "temporary", cost=cost)
    ended = end != "cut" and (bool(reason) or completion_tokens < max_tokens)
    return Reply(text, ended, prompt_tokens, completion_tokens, thoughts)


def _why_no_reply(message: _Message, text: str, thoughts: str, end: End) -> str | None:
    """Why the model does not reply to this request, whoever asks again; None if it may."""
    if end == "failed":
        return None
    if end == "filtered":
        return "the server's content filter stopped the answer"
    if not text and (refusal := text_in(message.refusal)):
        return f"the model refuses: {clean_line(refusal, _REASON)}"
    if message.tool_calls:
        return "the model calls a tool instead of answering"
    if not text.strip() and (end == "cut" or thoughts):
        return "thoughts took all tokens of the answer: raise --max-tokens or --thought-tokens"
    return None


def _raise_refusal(raw: Any, place: str) -> None:
    """Raises:
    SpeakerError: an error that came with status 200.
    """
    error = find_error(raw)
    refusal = read_refusal({"error": error}) if error is not None else Refusal()
    if not refusal.reason:
        return
    status = refusal.status or 500
    code = f" ({refusal.status})" if refusal.status else ""
    raise SpeakerError(
        f"{place} fails{code}: {refusal.reason}",
        kind_of_refusal(status, refusal),
        retry_after_s=refusal.wait_s,
    )


def _text_and_thoughts(message: _Message) -> tuple[str, str]:
    thoughts = (
        text_in(message.reasoning_content)
        or text_in(message.reasoning)
        or thoughts_in(message.content)
    )
    # A server without a parser for reasoning sends the thought as a part of the answer.
    thought, text = split_text(text_in(message.content))
    return text, thoughts or thought


def _count_tokens(
    usage: Any, prompt_bytes: int, answer_bytes: int, max_tokens: int
) -> tuple[int, int]:
    """The counts of a server where they can be true, else estimates."""
    given: Mapping[str, Any] = usage if isinstance(usage, dict) else {}

    def count(name: str, bytes_: int, most: int) -> int:
        value = given.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most:
            return value
        return math.ceil(bytes_ / _CHARACTERS_PER_TOKEN)

    return (
        count("prompt_tokens", prompt_bytes, prompt_bytes + _PROMPT_OVERHEAD),
        max(count("completion_tokens", answer_bytes, _MOST_OVER * max_tokens), 1),
    )
