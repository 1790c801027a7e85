"""What servers send that is no answer, and answers that are no text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from baize_shared.sanitizer import is_harmless
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


@pytest.mark.parametrize("wrong", [-5, 0, None, "many", 2**80, 1e9, True])
def test_counts_that_cannot_be_true_are_estimated(wrong: Any) -> None:
    counts = {"prompt_tokens": wrong, "completion_tokens": wrong}
    for usage in (counts, wrong):
        reply = ask(answer("So it is.", usage=usage))
        assert (reply.prompt_tokens, reply.completion_tokens) == (10, 3)


@pytest.mark.parametrize(
    ("reason", "complete"), [("stop", True), ("eos", True), ("length", False), (None, True)]
)
def test_an_answer_is_complete_unless_it_was_cut_off(reason: str | None, complete: bool) -> None:
    assert ask(answer("So.", reason)).complete is complete
    usage = {"completion_tokens": 512}
    assert ask(answer("So.", reason, usage=usage)).complete is (reason in ("stop", "eos"))
