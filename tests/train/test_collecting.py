"""Self-chat with servers as they are: limited, failing, wrong, and with rules of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baize_train.speakers.durations import read_duration
from baize_train.speakers.request_gate import RequestGate
from baize_train.speakers.speaker import RateLimits
from tests.engine.remote.streaming_server import refuse, send_json
from tests.train.collecting import CALLS, Collect
from tests.train.scripted_server import RateLimit, ScriptedServer, completion, serve
from tests.train.self_talk import WORDS, read_records, talk

# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says_when", "says_what_is_left"), [(True, False), (False, False), (False, True)]
)
def test_a_limited_server_is_asked_little_more_than_necessary(
    says_when: bool, says_what_is_left: bool, server: ScriptedServer, collect: Collect
) -> None:
    server.faults.rate = RateLimit(20, 1.0, says_when, says_what_is_left)
    done = collect(seeds=20)
    assert done.code == 0, done.errors
    assert len(done.kept) == 20
    assert len(server.requests) <= 1.15 * 20 * CALLS
    if says_what_is_left:
        assert len(server.requests) <= 1.05 * 20 * CALLS


def test_only_the_request_that_failed_is_repeated(
    server: ScriptedServer, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.speakers.request_gate.FIRST_WAIT_S", 0.001)
    server.faults.failing = 0.25
    done = collect(seeds=20)
    assert len(done.kept) == server.answered / CALLS == 20
    assert len(server.requests) == 20 * CALLS + server.failed


async def test_a_gate_lets_one_request_try_after_a_refusal() -> None:
    gate = RequestGate(4)
    tickets = [await gate.enter() for _ in range(4)]
    for ticket in tickets:
        gate.leave(ticket, "rate limit", 0.0)
    probe = await gate.enter()
    assert probe.is_probe
    assert gate.load >= 1
    gate.leave(probe, "success")
    assert not (await gate.enter()).is_probe


async def test_headers_that_announce_hours_are_not_waited_for() -> None:
    gate = RequestGate(1)
    for limits in (RateLimits(0, 7200.0), RateLimits(tokens=0, tokens_reset_s=1.8e9)):
        ticket = await gate.enter()
        gate.note_limits(limits)
        gate.leave(ticket, "success")
    await gate.enter()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("12", 12.0), ("0.5", 0.5), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m", 3720.0)),
        *(("1d2h", 93600.0), ("500us", 0.0005), ("60, 60", 60.0), ("x", None), ("-5", None)),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert read_duration(text) == seconds


def test_dates_are_durations_from_now() -> None:
    assert read_duration("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "2015-10-21T07:28:00Z",
        "1445412480",
        "1445412480.0",
        "1445412480000",
    ],
)
def test_a_time_is_counted_from_that_of_the_server(text: str) -> None:
    """So it does not matter whether the clock of this machine is right."""
    assert read_duration(text, "Wed, 21 Oct 2015 07:27:30 GMT") == 30.0


def test_a_server_without_a_clock() -> None:
    assert read_duration("Wed, 21 Oct 2015 07:28:00 GMT", "no date") == 0.0


def test_a_server_that_asks_for_an_hour_ends_the_run(
    server: ScriptedServer, collect: Collect
) -> None:
    server.faults.statuses, server.faults.retry_after = [429] * 9, "3600"
    done = collect()
    assert done.code == 1
    assert "asks to wait 60 minutes" in done.errors


TOMORROW = str(int(time.time() + 86400) * 1000)
"""As OpenRouter says it: in milliseconds since 1970."""
DAILY = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": TOMORROW}


@pytest.mark.parametrize(
    "response",
    [
        refuse(429, "daily limit", Retry_After=TOMORROW),
        refuse(429, "daily limit", **{name.replace("-", "_"): DAILY[name] for name in DAILY}),
        send_json(
            {"error": {"message": "daily limit", "code": 429, "metadata": {"headers": DAILY}}}
        ),
        send_json(
            [{"error": {"message": "daily limit", "details": [{"retryDelay": "4000s"}]}}], 429
        ),
    ],
    ids=["a time", "OpenRouter's headers", "OpenRouter's body", "Google's body"],
)
def test_a_limit_that_ends_tomorrow_ends_the_run_at_once(
    response: Any, server: ScriptedServer, collect: Collect
) -> None:
    server.faults.intercept = lambda _request: response
    done = collect("--at-once", 1)
    assert done.code == 1
    assert "daily limit, and asks to wait" in done.errors
    assert "run the same command later to continue" in done.errors
    assert len(server.requests) == 1


# --- one seed, or all -----------------------------------------------------------------------------


def about(word: str) -> Callable[[dict[str, Any]], bool]:
    return lambda request: word in request["messages"][0]["content"]


FILTERED = {"message": "The response was filtered", "code": "content_filter", "type": None}
TOO_LONG = {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (send_json({"error": FILTERED}, 400), "filtered"),
        (send_json({"error": TOO_LONG}, 400), "longer than the model's context"),
        (send_json(completion(None, "content_filter")), "content filter"),
        (send_json(completion(None, refusal="No, thanks.")), "refuses: No, thanks."),
        (send_json(completion("", "length")), "raise --max-tokens"),
        (send_json(completion(None, "tool_calls", tool_calls=[{}])), "calls a tool"),
        (refuse(400, "something is odd about it"), "something is odd about it"),
    ],
)
def test_one_seed_s_failure_stays_with_its_seed(
    response: Any, reason: str, server: ScriptedServer, collect: Collect
) -> None:
    fails = about(WORDS[0])
    server.faults.intercept = lambda request: response if fails(request) else None
    done = collect("--at-once", 2)
    assert done.code == 0, done.errors
    assert len(done.kept) == 3
    (rejected,) = done.rejected
    assert reason in rejected["meta"]["rejected"]
    assert done.report["filters"] == {"request": 1}
    requests = len(server.requests)
    assert collect("--at-once", 2).report["rejected"] == 0
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "API key expired. Please renew the API key."),
        (400, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0"),
        (400, "Access denied, please make sure your account is in good standing."),
        (403, "Your team has used all available credits"),
        (429, "Your account is suspended due to insufficient balance"),
        (400, "Something changed on our side"),
    ],
    ids=["Google", "LiteLLM", "DashScope", "xAI", "Moonshot", "unclear"],
)
def test_what_fails_for_all_after_a_while_costs_no_seed(
    status: int, message: str, server: ScriptedServer, collect: Collect
) -> None:
    """The key expires, or the money is spent, in the middle of a collection."""
    server.faults.intercept = lambda _request: (
        refuse(status, message) if server.answered >= 5 else None
    )
    options = ("--turns", 1, "--at-once", 1)
    done = collect(*options, seeds=40)
    assert done.code == 1
    assert message[:40] in done.errors
    assert done.errors.count("\n") == 1
    assert (len(done.kept), done.rejected) == (5, [])
    assert len(server.requests) <= 25
    server.faults.intercept = lambda _request: None
    assert len(collect(*options, seeds=40).kept) == 40


def test_a_dialogue_that_the_server_does_not_finish_is_tried_again(
    server: ScriptedServer, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.speakers.request_gate.FIRST_WAIT_S", 0.001)
    fails = about(WORDS[0])
    server.faults.intercept = lambda request: (
        send_json(completion(None)) if fails(request) and len(request["messages"]) > 1 else None
    )
    done = collect("--at-once", 4)
    assert (done.code, done.report["postponed"], done.rejected) == (0, 1, [])
    server.faults.intercept = lambda request: None
    before = len(server.requests)
    assert len(collect().kept) == 4
    # Its first reply was kept.
    assert len(server.requests) - before == CALLS - 1


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (429, {"message": "You exceeded it", "code": "insufficient_quota"}, "You exceeded it"),
        (401, {"message": "Incorrect API key", "code": "invalid_api_key"}, "(401)"),
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, "not exist"),
        (400, {"message": "model 'x' not found", "type": "invalid"}, "not found"),
        (402, {"message": "Payment required"}, "Payment required"),
    ],
)
def test_what_concerns_every_request_ends_the_run_with_its_reason(
    status: int, error: dict[str, Any], reason: str, server: ScriptedServer, collect: Collect
) -> None:
    server.faults.statuses, server.faults.error = [status] * 99, error
    done = collect(seeds=9)
    assert done.code == 1
    assert reason in done.errors
    assert done.errors.count("\n") == 1
    assert len(server.requests) <= 8
    assert done.rejected == []


# --- interfaces of today --------------------------------------------------------------------------


def test_parameters_that_a_model_refuses_are_renamed_or_left_out(
    server: ScriptedServer, collect: Collect
) -> None:
    def refuse_old(request: dict[str, Any]) -> Any:
        if "max_tokens" in request:
            why = "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            error = {"message": f"{why}'max_completion_tokens' instead.", "param": "max_tokens"}
            return send_json({"error": {**error, "code": "unsupported_parameter"}}, 400)
        if "temperature" in request:
            why = "Unsupported value: 'temperature' does not support 0.7 with this model."
            return send_json({"error": {"message": why, "code": "unsupported_value"}}, 400)
        return None

    server.faults.intercept = refuse_old
    done = collect()
    assert len(done.kept) == 4, done.errors
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 512
    assert not {"max_tokens", "temperature"} & last.keys()
    assert done.errors.count("does not take temperature") == 1


def test_parameters_of_the_person_are_sent(server: ScriptedServer, collect: Collect) -> None:
    more = ("--set", 'reasoning_effort="low"', "--set", "top_p=null", "--thought-tokens", 1000)
    done = collect(*more)
    assert done.code == 0, done.errors
    request = server.requests[0]
    assert request["reasoning_effort"] == "low"
    assert "top_p" not in request
    assert request["max_tokens"] == 1512
    assert done.kept[0]["meta"]["parameters"] == {"reasoning_effort": "low", "top_p": None}


@pytest.mark.parametrize("thoughts", ["strip", "keep"])
@pytest.mark.parametrize("form", ["tags", "field", "parts", "thought part"])
def test_thoughts_are_stripped_or_kept(
    thoughts: str, form: str, server: ScriptedServer, collect: Collect
) -> None:
    def think(request: dict[str, Any]) -> Any:
        text = talk(request["messages"])
        if form == "tags":
            return send_json(completion(f"<think>\nHm.\n</think>\n\n{text}"))
        if form == "thought part":  # Mistral's
            thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
            return send_json(completion([thought, {"type": "text", "text": text}]))
        if form == "parts":
            return send_json(completion([{"type": "text", "text": text}], reasoning_content="Hm."))
        return send_json(completion(text, reasoning="Hm."))

    server.faults.intercept = think
    done = collect("--thoughts", thoughts, "--turns", 1)
    answers = [record["messages"][-1] for record in done.kept]
    assert len(answers) == 4
    assert not any("Hm." in answer["content"] for answer in answers)
    kept = "Hm." if thoughts == "keep" else None
    assert {answer.get("reasoning_content") for answer in answers} == {kept}


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 10**12, "completion_tokens": -1}])
def test_missing_and_wrong_counts_are_estimated(
    usage: Any, server: ScriptedServer, collect: Collect
) -> None:
    server.faults.intercept = lambda request: send_json(
        completion(talk(request["messages"]), usage=usage)
    )
    done = collect("--turns", 1)
    assert 4 * 10 < done.report["tokens"] < 4 * 50


PAID = {"prompt_tokens": 10, "completion_tokens": 500}


@pytest.mark.parametrize(
    "response",
    [
        completion("", "length", PAID),
        completion("", "length", PAID, reasoning_content="Hm."),
        completion("So it", "content_filter", PAID),
        completion(None, "stop", PAID, refusal="No, thanks."),
    ],
    ids=["no text", "thoughts alone", "filtered", "refused"],
)
def test_a_budget_counts_what_is_paid_for_no_reply(
    response: Any, server: ScriptedServer, collect: Collect
) -> None:
    server.faults.intercept = lambda request: send_json(response)
    done = collect("--tokens", 2000, "--at-once", 1, seeds=20)
    assert done.code == 0, done.errors
    assert len(server.requests) < 5
    assert done.report["total_tokens"] == 510 * len(server.requests)
    assert done.rejected[0]["meta"]["completion_tokens"] == 500
    requests = len(server.requests)
    collect("--tokens", 2000, "--at-once", 1, seeds=20)
    assert len(server.requests) == requests, "the next run knows what was spent"


def test_a_reply_costs_what_its_failed_tries_cost(
    server: ScriptedServer, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.speakers.request_gate.FIRST_WAIT_S", 0.001)
    broken = [send_json(completion("So it", "error", PAID))] * 2
    server.faults.intercept = lambda request: broken.pop() if broken else None
    done = collect("--turns", 1, seeds=1)
    assert len(done.kept) == 1, done.errors
    assert done.report["tokens"] == 2 * 510 + 15


def test_requests_are_shared_by_several_servers(server: ScriptedServer, collect: Collect) -> None:
    with serve(talk) as second:
        done = collect("--speaker", server.spec, "--speaker", second.spec, seeds=20)
        assert len(done.kept) == 20
        assert len(server.requests) + len(second.requests) == 20 * CALLS
        assert min(len(server.requests), len(second.requests)) > 20
        done = collect("--speaker", server.spec, "--speaker", f"{second.spec}s", seeds=20)
        assert "several servers must have one model" in done.errors


def test_a_server_that_fails_leaves_its_requests_to_the_others(
    server: ScriptedServer, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(talk) as second:
        second.faults.statuses = [503] * 999
        done = collect("--speaker", server.spec, "--speaker", second.spec, "--at-once", 2)
        assert len(done.kept) == 4, done.errors


def test_one_file_cannot_hold_the_keys_of_two_servers(
    server: ScriptedServer, collect: Collect, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("k")
    with serve(talk) as second:
        both = ("--speaker", server.spec, "--asker", second.spec)
        done = collect(*both, "--key-file", tmp_path / "key")
        assert "whose key is it?" in done.errors
        host = second.url.removeprefix("http://")
        assert collect(*both, "--key-file", f"{host}={tmp_path / 'key'}").code == 0
        assert (set(server.keys), set(second.keys)) == ({""}, {"Bearer k"})


def test_batches_answer_a_collection_in_rounds(
    collect: Collect, server: ScriptedServer, tmp_path: Path
) -> None:
    """As OpenAI's batch API and vLLM's run-batch do, which take and give the same lines."""
    folder = tmp_path / "batches"
    limits = ("--speaker", f"batch:{folder}#m", "--dialogues", 3)
    for number in range(CALLS):
        done = collect(*limits)
        assert (done.code, done.report["postponed"], done.kept) == (0, 3, [])
        requests = read_records(folder / "requests-1.jsonl")
        assert len(requests) == 3
        assert f"3 requests are in {folder}/requests-*.jsonl" in done.errors
        lines = []
        for request in requests:
            assert request["url"] == "/v1/chat/completions"
            body = completion(talk(request["body"]["messages"]))
            lines.append(
                {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}}
            )
        answers = folder / f"answers-{number}.jsonl"
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = collect(*limits)
    assert len(done.kept) == 3
    assert not (folder / "requests-1.jsonl").exists()
    assert done.report["total_tokens"] == 15 * CALLS * 3


def test_a_request_that_a_batch_refuses_stays_with_its_seed(
    collect: Collect, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    limits = ("--speaker", f"batch:{folder}#m", "--turns", 1)
    collect(*limits, seeds=1)
    (request,) = read_records(folder / "requests-1.jsonl")
    refused = {"status_code": 400, "body": {"error": {"message": "too odd"}}}
    line = {"custom_id": request["custom_id"], "response": refused}
    (folder / "errors.jsonl").write_text(json.dumps(line) + "\n")
    (rejected,) = collect(*limits, seeds=1).rejected
    assert "too odd" in rejected["meta"]["rejected"]


def answer_batch(folder: Path, name: str, response: Any, error: Any = None) -> None:
    """Put a file of answers, the same for each request that waits, into ``folder``."""
    lines = [
        {"custom_id": request["custom_id"], "response": response, "error": error}
        for request in read_records(folder / "requests-1.jsonl")
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / name).write_text(content, "utf-8-sig")  # as programs on Windows write it


def refused(status: int, message: str, **more: str) -> dict[str, Any]:
    return {"status_code": status, "body": {"error": {"message": message, **more}}}


@pytest.mark.parametrize(
    ("response", "error", "why"),
    [
        (refused(401, "Incorrect API key provided"), None, "(401): Incorrect API key provided"),
        (refused(404, "The model does not exist", code="model_not_found"), None, "does not exist"),
        (refused(429, "no quota", code="insufficient_quota"), None, "(429): no quota"),
        (refused(400, "Your credit balance is too low"), None, "credit balance is too low"),
        (refused(529, "overloaded"), None, "(529): overloaded"),
        ({"status_code": 200, "body": {"error": {"message": "lost"}}}, None, "lost"),
        (None, {"code": "batch_expired", "message": "This request expired."}, "request expired"),
        (None, None, "did not answer"),
    ],
)
def test_what_a_batch_did_not_answer_is_asked_again(
    response: Any, error: Any, why: str, collect: Collect, tmp_path: Path
) -> None:
    """Without money, for example, each line of a batch fails: no seed is lost by that."""
    folder = tmp_path / "batches"
    limits = ("--speaker", f"batch:{folder}#m", "--turns", 1, "--mode", "transcript")
    collect(*limits)
    answer_batch(folder, "output.jsonl", response, error)
    done = collect(*limits)
    assert (done.report["postponed"], done.report["rejected"]) == (4, 0)
    assert "4 requests are written again: " in done.errors
    assert why in done.errors
    assert why in done.report["postponed_reason"]
    assert len(read_records(folder / "requests-1.jsonl")) == 4
    text = talk(read_records(folder / "requests-1.jsonl")[0]["body"]["messages"])
    answer_batch(folder, "earlier.jsonl", {"status_code": 200, "body": completion(text)})
    assert collect(*limits).report["postponed"] == 0, "the answer counts, whatever its name is"


def test_options_that_a_batch_refuses_end_the_run_and_cost_no_seed(
    collect: Collect, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    limits = ("--speaker", f"batch:{folder}#m")
    collect(*limits)
    answer_batch(folder, "output.jsonl", refused(400, "temperature is not supported"))
    done = collect(*limits)
    assert done.code == 1
    assert "refused (400): temperature is not supported" in done.errors
    assert done.rejected == []
    done = collect(*limits, "--set", "temperature=null")
    assert done.report["postponed"] == 4
    requests = read_records(folder / "requests-1.jsonl")
    assert not any("temperature" in request["body"] for request in requests)


def test_requests_are_in_files_that_a_batch_takes(
    collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.speakers.batch_backend._MOST_BYTES", 1000)
    folder = tmp_path / "batches"
    done = collect("--speaker", f"batch:{folder}#m", seeds=9)
    files = sorted(folder.glob("requests-*.jsonl"))
    assert len(files) > 1
    assert all(file.stat().st_size <= 1000 for file in files)
    assert sum(len(read_records(file)) for file in files) == done.report["postponed"] == 9


def test_a_key_that_no_header_can_have_is_one_line(
    server: ScriptedServer, collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("кл\nюч")
    assert "characters that no key has" in collect("--key-file", tmp_path / "key").errors
    monkeypatch.setenv("BAIZE_SERVER_KEY", f"{server.url.removeprefix('http://')}=schlüssel")
    done = collect()
    assert "characters that no key has" in done.errors
    assert done.errors.count("\n") == 1
    assert server.requests == []


def test_a_web_page_is_no_answer(
    server: ScriptedServer, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.speakers.request_gate.FIRST_WAIT_S", 0.001)
    server.faults.body = b"<!DOCTYPE html><title>Log in</title>"
    done = collect()
    assert done.code == 1
    assert "sends a web page: is the address right?" in done.errors
    assert done.errors.count("\n") == 1
