"""What servers send that is no answer, and answers that are no text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from baize_shared.sanitizer import is_harmless
from baize_train.speakers.refusals import kind_of_refusal, read_refusal
from baize_train.speakers.server_response import read_completion
from baize_train.speakers.speaker import Reply, SpeakerError


def ask(body: bytes) -> Reply:
    """The reply in what a server sends to a question of 40 bytes."""
    return read_completion(body, "cluster.example.org", 40, 512)


def answer(content: Any, reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "a", "content": content}}
    return json.dumps({"id": "1", "choices": [choice], **more}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON \x1b]0;title\x07",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": "text"}',
        b'{"choices": [7]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": [1]}}]}',
        b"[" * 100_000,
        b"\xff\xfe",
        answer(None),
        answer(7),
        answer({"type": "text"}),
        answer([{"type": "image_url"}]),
        b"<!DOCTYPE html><title>Log in</title>",
    ],
    ids=lambda body: body[:60].decode("ascii", "replace"),
)
def test_what_is_no_answer_is_one_line(body: bytes) -> None:
    with pytest.raises(SpeakerError) as caught:
        ask(body)
    assert "\n" not in str(caught.value)
    assert all(map(is_harmless, str(caught.value)))


def test_an_answer_may_lack_its_counts_and_contain_half_a_pair_of_surrogates() -> None:
    reply = ask(answer("So \ud83d."))
    assert reply.text == "So \N{REPLACEMENT CHARACTER}."
    assert (reply.prompt_tokens, reply.completion_tokens) == (10, 2)


def test_an_answer_is_read_whatever_its_bytes_are() -> None:
    """Keep-alive lines in front, a byte order mark, half a character."""
    body = b"\xef\xbb\xbf\n\n" + answer("So\u767d.").replace(b"\\u767d", "白".encode()[:2])
    assert ask(body).text == "So\N{REPLACEMENT CHARACTER}."


@pytest.mark.parametrize(
    "odd", [{"reasoning": {"a": 1}}, {"tool_calls": {}}, {"refusal": False}, {"reasoning": [7]}]
)
def test_an_answer_is_read_whatever_is_beside_it(odd: dict[str, Any]) -> None:
    """It is paid for, and the next one would look the same."""
    message = {"role": "assistant", "content": "So.", **odd}
    choice = {"index": 0, "finish_reason": 1, "message": message}
    assert ask(json.dumps({"choices": [choice]}).encode()).text == "So."


@pytest.mark.parametrize("wrong", [-5, 0, None, "many", 2**80, 1e9, True])
def test_counts_that_cannot_be_true_are_estimated(wrong: Any) -> None:
    counts = {"prompt_tokens": wrong, "completion_tokens": wrong}
    for usage in (counts, wrong):
        reply = ask(answer("So it is.", usage=usage))
        assert (reply.prompt_tokens, reply.completion_tokens) == (10, 3)


@pytest.mark.parametrize(
    ("reason", "complete"),
    [
        *((reason, True) for reason in ("stop", "eos", "STOP", "end_turn", None)),
        *((reason, False) for reason in ("length", "MAX_TOKENS", "max_tokens", "model_length")),
    ],
)
def test_an_answer_is_complete_unless_it_was_cut_off(reason: str | None, complete: bool) -> None:
    assert ask(answer("So.", reason)).complete is complete
    usage = {"completion_tokens": 512}
    assert ask(answer("So.", reason, usage=usage)).complete is (complete and reason is not None)


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_half_an_answer_is_asked_for_again(reason: str) -> None:
    with pytest.raises(SpeakerError, match=f"broken off the answer \\({reason}\\)") as caught:
        ask(answer("So it", reason))
    assert caught.value.kind == "temporary"


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT"])
def test_a_filtered_answer_is_not_asked_for_again(reason: str) -> None:
    for text in ("So it", None):
        with pytest.raises(SpeakerError, match="content filter") as caught:
            ask(answer(text, reason))
        assert caught.value.kind == "request"


def refused(error: Any, **more: Any) -> bytes:
    return json.dumps({"error": error, **more}).encode()


CUT = {"message": {"content": "So"}, "finish_reason": "error"}


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (refused({"message": "Too many: free tier", "code": 429}), "rate limit", "(429): Too many"),
        (refused({"message": "No credentials", "code": 401}), "fatal", "(401): No credentials"),
        (refused({"message": "No credits", "code": 402}), "fatal", "No credits"),
        (refused("overloaded"), "temporary", "fails: overloaded"),
        (b'{"object": "error", "message": "overloaded", "code": 503}', "temporary", "overloaded"),
        (b'{"code": 1113, "msg": "no money left", "success": false}', "temporary", "no money left"),
        (b'{"detail": "no such thing"}', "temporary", "no such thing"),
        (refused({"message": "Provider error", "code": 502}, choices=[]), "temporary", "Provider"),
        (
            json.dumps({"choices": [{**CUT, "error": {"message": "Lost", "code": 502}}]}).encode(),
            "temporary",
            "(502): Lost",
        ),
    ],
)
def test_an_error_with_status_200_is_that_error(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(SpeakerError) as caught:
        ask(body)
    assert caught.value.kind == kind
    assert why in str(caught.value)


QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait_s", "reason"),
    [
        (429, [{"error": {"message": f"{QUOTA} {'x' * 400}\nPlease retry in 36.5s."}}],
         "rate limit", 36.5, QUOTA),
        (429, {"message": QUOTA, "code": "insufficient_quota"}, "fatal", None, QUOTA),
        (429, {"message": "Rate limit. Please try again in 1m7.5s. Visit x"}, "rate limit", 67.5,
         "Rate limit."),
        (429, {"message": "Please retry after 6 seconds."}, "rate limit", 6.0, "Please retry"),
        (429, {"error": {"message": "Provider returned error", "code": 429,
                         "metadata": {"raw": "Please try again in 20s."}}}, "rate limit", 20.0,
         "Please try again"),
        (400, {"error": {"message": "Provider returned error",
                         "metadata": {"raw": '{"error": {"message": "jinja: odd roles"}}'}}},
         "template", None, "jinja: odd roles"),
        (400, [{"error": {"message": "Location is not supported"}}], "unclear", None, "Location"),
        (422, {"detail": [{"loc": ["stop"], "msg": "not a text"}]}, "unclear", None, "not a text"),
    ],
)  # fmt: skip
def test_the_body_of_a_refusal_says_why_and_for_how_long(
    status: int, body: Any, kind: str, wait_s: float | None, reason: str
) -> None:
    refusal = read_refusal(body)
    assert kind_of_refusal(status, refusal) == kind
    assert refusal.wait_s == wait_s
    assert refusal.reason.startswith(reason)
