"""The declarations of requests: what answers each of them, and that the lines carry them."""

from __future__ import annotations

import math
from typing import get_args

import msgspec
import pytest

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.protocol import (
    AnyRequest,
    Cancel,
    CheckAdapter,
    CheckForm,
    Count,
    Diagnose,
    Encode,
    Event,
    Forget,
    Generate,
    Inspect,
    Judge,
    Load,
    Measure,
    Prompt,
    PromptMessage,
    ReadPrompt,
    SaveCache,
    Score,
    TimeAnswer,
    TimeLoop,
    Tokenize,
    Warm,
    WriteLogits,
    WriteTemplate,
    decode_request,
    encode_line,
    encode_request,
    request_number,
)
from baize_tui.output_forms import OutputForm
from baize_tui.settings import Sampling

PROMPT = Prompt([PromptMessage("user", "Hi")])
REQUESTS: list[AnyRequest] = [
    Load(1, "model.gguf"),
    Generate(2, PROMPT),
    Warm(13, PROMPT),
    SaveCache(14),
    Forget(15, "conversation"),
    Count(3, PROMPT),
    CheckForm(17, OutputForm("regex", "yes|no"), 'root ::= "yes"'),
    ReadPrompt(18, PROMPT),
    Judge(19, PROMPT, [1, 2]),
    Tokenize(4, "model.gguf", "text"),
    Encode(11, "model.gguf", ["text", "more"]),
    WriteTemplate(12, "model.gguf", PROMPT),
    Score(5, [1, 2]),
    WriteLogits(6, [1, 2], "output"),
    Inspect(7, "model.gguf"),
    Measure(8, "model.gguf", 512),
    CheckAdapter(9, "lora.gguf", "model.gguf"),
    Diagnose(10),
    TimeLoop(16, threads=1, read=8, written=4, most_s=1.0),
    TimeAnswer(17, Generate(0, PROMPT)),
]


def test_all_requests_are_tested() -> None:
    assert {type(request) for request in REQUESTS} == set(get_args(AnyRequest))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_declares_its_answer_and_survives_the_line(request_: AnyRequest) -> None:
    assert request_.answer_type() in get_args(Event)
    assert request_.activity
    assert not (request_.needs_model and request_.file)
    assert decode_request(encode_line(request_)) == request_


def test_a_cancel_survives_the_line() -> None:
    assert decode_request(encode_line(Cancel(4))) == Cancel(4)


@pytest.mark.parametrize("number", [math.inf, math.nan, 1e39, -1.0])
def test_a_request_that_the_worker_could_not_read_is_not_encoded(number: float) -> None:
    request = Generate(2, PROMPT, Sampling(temperature=number))
    with pytest.raises(msgspec.ValidationError, match="temperature"):
        encode_request(request)


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b'{"type":"generate","request":7,"prompt":null}', 7),
        (b'{"type":"unknown","request":8}', 8),
        (b'{"request":"nine"}', 0),
        (b"not JSON", 0),
        (b"[]", 0),
        (b'{"type":"\xff","request":1}', 1),
        (b"[" * 100_000, 0),
    ],
    ids=range(7),
)
def test_an_invalid_line_is_answered_by_its_number(line: bytes, number: int) -> None:
    with pytest.raises(JSON_ERRORS):
        decode_request(line)
    assert request_number(line) == number
