"""What servers send that is no answer, and answers that are no text."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from baize_shared.sanitizer import is_harmless
from baize_train.corpus.dialogues import Turn
from baize_train.speakers.server_speaker import open_server_speaker
from baize_train.speakers.speaker import Reply, SamplingOptions, SpeakerError
from tests.train.scripted_server import serve


def ask(body: bytes) -> Reply:
    """The reply to a question that a server answers with ``body``."""

    async def reply(address: str) -> Reply:
        speaker = open_server_speaker(address, "")
        try:
            return await speaker.reply([Turn("user", "Why?")], SamplingOptions())
        finally:
            await speaker.close()

    with serve(lambda _: "") as server:
        server.faults.body = body
        return asyncio.run(reply(server.address))


def answer(content: Any, **more: Any) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "a", "content": content}}
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
        answer("text", usage="many"),
        answer("text", usage={"prompt_tokens": "many"}),
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
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 1)
    counts = {"prompt_tokens": -5, "completion_tokens": None, "total_tokens": 2**80}
    assert ask(answer("So.", usage=counts)).prompt_tokens == 0
