"""Self-chat with servers as they are: limited, failing, wrong, and with rules of their own."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from baize_train.cli.app import run
from baize_train.selfchat.collection import rejected_file, replies_file
from baize_train.speakers.durations import read_duration
from baize_train.speakers.request_gate import RequestGate
from tests.engine.remote.streaming_server import refuse, send_json
from tests.train.scripted_server import RateLimit, ScriptedServer, completion, serve
from tests.train.test_selfchat import WORDS, read_records, talk

CALLS = 5
"""Of a dialogue with three answers."""


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "BAIZE_SERVER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serve(talk) as scripted:
        yield scripted


@dataclass
class Collected:
    code: int
    report: dict[str, Any]
    errors: str
    kept: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


Collect = Callable[..., Collected]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def collect(
    server: ScriptedServer, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Collect:
    """Runs ``selfchat`` on some seeds."""

    def call(*arguments: object, seeds: int = 4, speaker: str | None = None) -> Collected:
        file = tmp_path / "seeds.txt"
        file.write_text(
            "".join(
                f"What is a {word} made of in {n} ways?\n"
                for n, word in zip(range(seeds), WORDS * 9, strict=False)
            )
        )
        given = [str(argument) for argument in arguments]
        if "--seeds" not in given:
            given += ["--seeds", str(file)]
        if "--speaker" not in given:
            given += ["--speaker", speaker or server.spec]
        capsys.readouterr()
        code = run(["selfchat", "-o", str(output), "--json", "--near", "1", *given])
        out, errors = capsys.readouterr()
        report = json.loads(out) if code == 0 else {}
        return Collected(
            code, report, errors, read_records(output), read_records(rejected_file(output))
        )

    return call


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
        assert len(server.requests) == 20 * CALLS


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12", 12.0), ("0.5", 0.5), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m", 3720.0), ("x", None)],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert read_duration(text) == seconds


def test_dates_are_durations_from_now() -> None:
    assert read_duration("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_a_server_that_asks_for_an_hour_ends_the_run(
    server: ScriptedServer, collect: Collect
) -> None:
    server.faults.statuses, server.faults.retry_after = [429] * 9, "3600"
    done = collect()
    assert done.code == 1
    assert "asks to wait 60 minutes" in done.errors


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
@pytest.mark.parametrize("form", ["tags", "field", "parts"])
def test_thoughts_are_stripped_or_kept(
    thoughts: str, form: str, server: ScriptedServer, collect: Collect
) -> None:
    def think(request: dict[str, Any]) -> Any:
        text = talk(request["messages"])
        if form == "tags":
            return send_json(completion(f"<think>\nHm.\n</think>\n\n{text}"))
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


# --- budgets, locks, files that exist -------------------------------------------------------------


def test_a_budget_includes_earlier_runs(server: ScriptedServer, collect: Collect) -> None:
    budget = ("--tokens", 15 * CALLS * 3, "--at-once", 1)
    assert len(collect("--dialogues", 1, *budget).kept) == 1
    done = collect(*budget)
    assert len(done.kept) == 3
    assert (done.report["tokens"], done.report["total_tokens"]) == (150, 225)
    assert collect(*budget).report["tokens"] == 0


def test_a_budget_includes_dialogues_in_progress(server: ScriptedServer, collect: Collect) -> None:
    """With all seeds at once; the first dialogues only show what one takes."""
    assert len(collect("--dialogues", 1).kept) == 1
    done = collect("--tokens", 15 * CALLS * 3, "--at-once", 9, seeds=9)
    assert len(done.kept) == 3


def test_two_processes_cannot_write_one_output(
    server: ScriptedServer, collect: Collect, output: Path
) -> None:
    output.touch()
    with output.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = collect()
    assert "another command is writing it" in done.errors
    assert server.requests == []
    assert collect().code == 0


@pytest.mark.parametrize("content", ["My notes", "My notes\n", '{"a": 1}', "[1, 2]\n"])
def test_a_file_of_something_else_is_left_alone(
    content: str, server: ScriptedServer, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_text(content)
    arguments = ["--seeds", "domain:quora", "--speaker", server.spec]
    assert run(["selfchat", "-o", str(output), *arguments]) == 1
    errors = capsys.readouterr().err
    assert "not written by baize-train" in errors
    assert errors.count("\n") == 1
    assert output.read_text() == content
    assert server.requests == []


def test_a_last_line_without_an_end_is_kept(collect: Collect, output: Path) -> None:
    assert len(collect().kept) == 4
    whole = output.read_bytes()
    output.write_bytes(whole[:-1])
    assert len(collect().kept) == 4
    assert output.read_bytes() == whole
    output.write_bytes(whole[: whole[:-1].rindex(b"\n") + 9])  # as if it was killed
    assert len(collect().kept) == 4
    assert output.read_bytes()[: len(whole) // 2] == whole[: len(whole) // 2]


def test_replies_to_an_interrupted_dialogue_are_not_asked_for_again(
    server: ScriptedServer, collect: Collect, output: Path
) -> None:
    server.faults.intercept = lambda request: (
        refuse(401, "no") if len(request["messages"]) == 3 else None
    )
    assert collect("--at-once", 1).code == 1
    journal = read_records(replies_file(output))
    assert len(journal) == 2  # the cost of nothing yet, and the first reply
    server.faults.intercept = lambda request: None
    before = len(server.requests)
    assert len(collect("--at-once", 1).kept) == 4
    assert len(server.requests) - before == 4 * CALLS - 1
    assert read_records(replies_file(output)) == [
        {"request": "", "prompt_tokens": 200, "completion_tokens": 100}
    ]


# --- roles ----------------------------------------------------------------------------------------

MISTRAL = "Conversation roles must alternate user/assistant/user/assistant/..."


@pytest.mark.parametrize("status", [400, 500])
def test_roles_adapt_to_a_template_without_system_messages(
    status: int, server: ScriptedServer, collect: Collect
) -> None:
    def strict(request: dict[str, Any]) -> Any:
        roles = [message["role"] for message in request["messages"]]
        wanted = [("user", "assistant")[n % 2] for n in range(len(roles))]
        return None if roles == wanted else refuse(status, MISTRAL)

    server.faults.intercept = strict
    done = collect("--at-once", 1)
    assert len(done.kept) == 4, done.errors
    assert len(server.requests) == 4 * CALLS + 1
    asked = [r["messages"] for r in server.requests if "You play" in r["messages"][0]["content"]]
    assert [turn["role"] for turn in asked[1]] == ["user", "assistant", "user"]


def test_rewrite_keeps_system_turns_and_records_with_one_id(
    server: ScriptedServer, collect: Collect, tmp_path: Path
) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Old."},
    ]
    records: list[Any] = [{"id": "0", "messages": turns}]
    records.append({"id": "0", "messages": [*turns[:1], {**turns[1], "content": "How?"}, turns[2]]})
    source = tmp_path / "old.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records) + "{\n")
    done = collect("--mode", "rewrite", "--seeds", source)
    assert [record["messages"][0] for record in done.kept] == [turns[0]] * 2
    assert {record["messages"][1]["content"] for record in done.kept} == {"Why?", "How?"}
    assert {record["meta"]["original"] for record in done.kept} == {"0"}
    assert "old.jsonl:3: not JSON" in done.errors


# --- quality --------------------------------------------------------------------------------------


def test_each_filter_has_a_name_a_count_and_a_switch(
    server: ScriptedServer, collect: Collect
) -> None:
    text = "As an AI language model, I cannot say what {0} of {1} is."
    server.answer = lambda messages: (
        text.format(len(messages), messages[-1]["content"][:20])
        if messages[0]["role"] == "user"
        else talk(messages)
    )
    assert len(collect("--turns", 2).kept) == 4
    done = collect("--turns", 2, "--top-p", 0.9, "--filter", "refusal")
    assert done.report["filters"] == {"refusal": 4}
    assert len(done.kept) == 4
    done = collect("--filter", "nonsense")
    assert "there is no such filter; roles, empty" in done.errors
    done = collect("--turns", 1, "--most-words", 3, "--no-filter", "length")
    assert done.report["filters"] == {}


def test_personas_ask(server: ScriptedServer, collect: Collect, tmp_path: Path) -> None:
    personas = tmp_path / "personas.txt"
    personas.write_text("A retired baker.\nA child of ten\n")
    done = collect("--personas", personas, seeds=9)
    used = {record["meta"]["persona"] for record in done.kept}
    assert used == {"A retired baker.", "A child of ten"}
    first = [r["messages"][0]["content"] for r in server.requests]
    assert any("The person: A retired baker. Write as" in text for text in first)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_the_journal_is_private(collect: Collect, output: Path) -> None:
    collect()
    assert replies_file(output).stat().st_mode & 0o077 == 0
