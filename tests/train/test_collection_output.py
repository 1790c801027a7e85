"""What a collection spends, writes and drops; files that exist; the roles of its messages."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from baize_train.cli.app import run
from baize_train.selfchat.collection import replies_file
from tests.engine.remote.streaming_server import refuse
from tests.train.collecting import CALLS, Collect
from tests.train.scripted_server import ScriptedServer
from tests.train.self_talk import read_records, talk

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
