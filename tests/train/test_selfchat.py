"""Self-chat as a process: with a server that fails in every way, a real server, a real model."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baize_train.errors import TrainError
from baize_train.selfchat.collection import rejected_file, replies_file
from baize_train.selfchat.domain_seeds import domain_questions, known_domains
from baize_train.selfchat.modes import is_request
from baize_train.selfchat.prompts import TRANSCRIPT_PROMPT
from baize_train.selfchat.seed_files import read_seed_file
from baize_train.selfchat.seeds import drop_repeated_seeds
from tests.conftest import wait_for
from tests.real_server import serve_model
from tests.train.processes import run, start
from tests.train.scripted_server import ScriptedServer
from tests.train.self_talk import WORDS, read_records


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    file = tmp_path / "seeds.txt"
    lines = [
        f"What is a {word} made of, and who first made {word} {n}?" for n, word in enumerate(WORDS)
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


def roles(dialogue: dict[str, Any]) -> str:
    return "".join(turn["role"][0] for turn in dialogue["messages"])


# --- the modes ------------------------------------------------------------------------------------


def test_two_speakers_take_turns(server: ScriptedServer, seeds: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    records = read_records(output)
    assert report["kept"] == len(records) == len(WORDS)
    assert {roles(dialogue) for dialogue in records} == {"uauaua"}
    assert {dialogue["topic"] for dialogue in records} == set(seeds.read_text().splitlines())
    assert all(dialogue["meta"]["teacher"] == "teacher" for dialogue in records)
    # For the asker the roles are swapped: the answers are what the user says.
    request = next(r for r in server.requests if r["messages"][0]["role"] == "system")
    assert [turn["role"] for turn in request["messages"]] == ["system", "assistant", "user"]
    assert report["tokens"] == 15 * len(server.requests)


def test_one_call_writes_a_transcript(server: ScriptedServer, seeds: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("--mode", "transcript", "--speaker", server.spec)
    done = run("selfchat", "--seeds", seeds, "-o", output, *arguments)
    assert done.returncode == 0, done.stderr
    assert {roles(dialogue) for dialogue in read_records(output)} == {"uaua"}
    sent = server.requests[0]["messages"][0]["content"]
    assert sent in {TRANSCRIPT_PROMPT.format(seed=s) for s in seeds.read_text().splitlines()}


def test_rewrite_replaces_the_answers(server: ScriptedServer, seeds: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert run("selfchat", "--seeds", seeds, "-o", first, "--speaker", server.spec).returncode == 0
    arguments = ("--mode", "rewrite", "--speaker", server.spec.replace("teacher", "other"))
    done = run("selfchat", "--seeds", first, "-o", second, *arguments)
    assert done.returncode == 0, done.stderr

    def questions(file: Path) -> set[tuple[str, ...]]:
        return {
            tuple(turn["content"] for turn in record["messages"] if turn["role"] == "user")
            for record in read_records(file)
        }

    assert questions(first) == questions(second)
    assert {record["meta"]["teacher"] for record in read_records(second)} == {"other"}
    assert {record["topic"] for record in read_records(second)} == {
        record["topic"] for record in read_records(first)
    }


def test_rejected_dialogues_are_kept_apart_with_their_reason(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    server.faults.cut = True
    arguments = ("--mode", "transcript", "--speaker", server.spec, "--json")
    done = run("selfchat", "--seeds", seeds, "-o", output, *arguments)
    report = json.loads(done.stdout)
    assert (report["kept"], report["rejected"]) == (0, len(WORDS))
    assert {record["meta"]["rejected"] for record in read_records(rejected_file(output))} == {
        "cut off"
    }
    assert read_records(output) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What about winter?", True),
        ("Tell me more about oaks", True),
        ("为什么？", True),
        ("You're right, that is why.", False),
        ("I'm glad I could help! Anything else?", False),
        ("It is blue because of scattering.", False),
    ],
)
def test_requests_are_recognized(text: str, expected: bool) -> None:
    assert is_request(text) is expected


# --- killed, interrupted, limited -----------------------------------------------------------------


def test_a_killed_collection_continues_with_the_missing_dialogues(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    speaker = ("--speaker", server.spec, "--at-once", "2")
    arguments = ("selfchat", "--seeds", seeds, "-o", output, *speaker)
    slow, paced = server.answer, threading.Event()

    def slowly(messages: list[dict[str, str]]) -> str:
        paced.wait(0.02)
        return slow(messages)

    server.answer = slowly
    process = start(*arguments)
    wait_for(lambda: len(read_complete_records(output)) >= 4)
    process.signal(signal.SIGKILL)
    process.wait()
    kept = read_complete_records(output)
    done = {record["meta"]["key"] for record in kept}
    begun = sum(reply["owner"] not in done for reply in read_complete_records(replies_file(output)))
    with output.open("ab") as file:
        file.write(b'{"messages": [{"role"')  # as if it was killed while it wrote a line
    # The key tells its requests from those of the killed process that are still on their way.
    host = server.url.removeprefix("http://")
    assert run(*arguments, BAIZE_SERVER_KEY=f"{host}=second-run").returncode == 0
    records = read_records(output)
    assert records[: len(kept)] == kept
    assert len({record["meta"]["key"] for record in records}) == len(records) == len(WORDS)
    # Only what is missing is requested: five replies for each dialogue, except those on disk.
    assert server.keys.count("Bearer second-run") == 5 * (len(WORDS) - len(kept)) - begun
    assert run(*arguments).returncode == 0
    assert read_records(output) == records


def read_complete_records(file: Path) -> list[dict[str, Any]]:
    raw = file.read_bytes() if file.exists() else b""
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def test_other_settings_are_another_collection(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec)
    assert run(*arguments).returncode == 0
    assert run(*arguments, "--turns", "2").returncode == 0
    assert len(read_records(output)) + len(read_records(rejected_file(output))) == 2 * len(WORDS)


@pytest.mark.parametrize("collected", [0, 3])
def test_ctrl_c_keeps_finished_work(
    collected: int, server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec)
    if collected:
        assert run(*arguments, "--dialogues", collected).returncode == 0
    server.requests.clear()
    server.faults.stalls = threading.Event()
    process = start(*arguments)
    wait_for(lambda: server.requests)
    process.signal(signal.SIGINT)
    done = process.wait(limit_s=15)
    server.faults.stalls.set()
    assert done.returncode == 130
    assert len(read_records(output)) == collected
    said = "; run the same command again to continue" if collected else ""
    assert done.stderr.decode().endswith(f"baize-train: interrupted{said}\n")


@pytest.mark.parametrize(
    ("limit", "most"),
    [(("--dialogues", "3"), 3), (("--tokens", "80"), 1), (("--minutes", "0"), 0)],
)
def test_a_budget_ends_a_collection(
    limit: tuple[str, str], most: int, server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("--speaker", server.spec, "--at-once", "1")
    assert run("selfchat", "--seeds", seeds, "-o", output, *arguments, *limit).returncode == 0
    assert len(read_records(output)) == most


def test_money_is_counted_and_limited(server: ScriptedServer, seeds: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    prices = ("--price", "1000", "2000", "--money", "0.15", "--at-once", "1")
    arguments = ("--speaker", server.spec, *prices, "--json")
    done = run("selfchat", "--seeds", seeds, "-o", output, *arguments)
    # Five calls with 10 tokens of prompt and 5 of answer: 0.1 per dialogue.
    assert json.loads(done.stdout)["money"] == pytest.approx(0.1)
    assert len(read_records(output)) == 1
    server.requests.clear()
    done = run("selfchat", "--seeds", seeds, "-o", output, *arguments, "--dry-run")
    assert json.loads(done.stdout)["dialogues"] == len(WORDS)
    assert server.requests == []


# --- servers that fail ----------------------------------------------------------------------------


def test_temporary_errors_are_retried(server: ScriptedServer, seeds: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    server.faults.statuses = [429, 500, 503, 529]
    server.faults.drops = 2
    server.faults.retry_after = "0"
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec)
    assert done.returncode == 0, done.stderr
    assert (server.faults.statuses, server.faults.drops) == ([], 0)
    assert len(read_records(output)) == len(WORDS)


def test_fewer_requests_run_at_once_after_a_rate_limit(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    server.most_allowed = 2
    server.faults.retry_after = "0"
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec)
    assert done.returncode == 0, done.stderr
    assert len(read_records(output)) == len(WORDS)


@pytest.mark.parametrize(
    ("status", "problem"), [(401, "wants a key (401)"), (404, "(404)"), (400, "(400): no")]
)
def test_permanent_errors_end_the_command_at_once(
    status: int, problem: str, server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    """The original used up all its seeds on a server that refused."""
    server.faults.statuses = [status] * 1000
    output = tmp_path / "out.jsonl"
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(server.requests) <= len(WORDS)
    assert read_records(rejected_file(output)) == []


def test_tokens_are_counted_even_if_a_server_sends_wrong_usage(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    server.faults.usage = {"prompt_tokens": -5, "completion_tokens": 0, "total_tokens": 0}
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", server.spec, "--json")
    assert json.loads(done.stdout)["tokens"] > len(WORDS)


def test_a_key_is_sent_to_its_own_host_alone(
    server: ScriptedServer, seeds: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("from-a-file\n")
    arguments = ("selfchat", "--seeds", seeds, "--speaker", server.spec)
    assert run(*arguments, "-o", tmp_path / "a.jsonl", "--key-file", key).returncode == 0
    assert set(server.keys) == {"Bearer from-a-file"}
    server.keys.clear()
    host = server.url.removeprefix("http://")
    named = f"{host}=of-this-host"
    assert run(*arguments, "-o", tmp_path / "b.jsonl", BAIZE_SERVER_KEY=named).returncode == 0
    assert set(server.keys) == {"Bearer of-this-host"}
    server.keys.clear()
    # OpenAI's key is for OpenAI.
    assert run(*arguments, "-o", tmp_path / "c.jsonl", OPENAI_API_KEY="sk-openai").returncode == 0
    assert set(server.keys) == {""}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--speaker", "nobody"), "write local:MODEL, server:URL#model or batch:FOLDER#model"),
        (("--speaker", "server:http://127.0.0.1:9"), "write server:URL#model"),
        (("--speaker", "local:nope"), "no model is called"),
        (("--money", "1"), "--money needs --price"),
    ],
)
def test_wrong_options_are_one_line(
    arguments: tuple[str, ...], problem: str, seeds: Path, tmp_path: Path
) -> None:
    done = run("selfchat", "--seeds", seeds, "-o", tmp_path / "o.jsonl", *arguments)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


# --- seeds ----------------------------------------------------------------------------------------


def test_seeds_come_from_lines_tables_and_objects(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One?\n\n Two? \n")
    (tmp_path / "b.csv").write_text('id,question\n1,"What, now?"\n2,\n')
    (tmp_path / "c.jsonl").write_text('{"topic": "bread"}\n{"topic": ""}\n')
    assert list(read_seed_file(tmp_path / "a.txt")) == ["One?", "Two?"]
    assert list(read_seed_file(tmp_path / "b.csv")) == ["What, now?"]
    assert list(read_seed_file(tmp_path / "b.csv", "id")) == ["1", "2"]
    assert list(read_seed_file(tmp_path / "c.jsonl")) == ["bread"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "One?\r\nTwo?\r\n".encode("utf-16")),
        ("a.csv", b"question;id\nOne?;1\nTwo?;2\n"),
        ("a.csv", b'"question","a;b;c"\nOne?,1\nTwo?,2\n'),
        ("a.TSV", b"id\tquestion\n1\tOne?\n2\tTwo?\n"),
        ("a.json", b'[{"question": "One?"}, {"question": "Two?"}]'),
        ("a.json", b'{"question":\n"One?"}\n{"question": "Two?"}'),
        ("a.jsonl", b'{"instruction": "One?"}\n{"prompt": "Two?"}\n'),
    ],
)
def test_seeds_are_read_as_other_programs_write_them(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert list(read_seed_file(tmp_path / name)) == ["One?", "Two?"]


def test_a_seed_is_a_text_or_the_question_of_messages(tmp_path: Path) -> None:
    """The prompts of pairs are messages; what Python prints for them is no question."""
    file = tmp_path / "a.jsonl"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"}]
    file.write_text("".join(json.dumps({"prompt": seed}) + "\n" for seed in (messages, 2, None)))
    assert list(read_seed_file(file)) == ["One?", "2"]
    for value in ({"text": "One?"}, True, ["One?"], [], [{"role": "user", "content": None}]):
        file.write_text(json.dumps({"prompt": "One?"}) + "\n" + json.dumps({"prompt": value}))
        with pytest.raises(TrainError, match="prompt of record 2 is neither a text nor"):
            list(read_seed_file(file))


def test_rows_without_a_seed_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"topic": "bread"}\n{"id": 2}\n{"topic": null}\n')
    assert list(read_seed_file(file, "topic")) == ["bread"]
    assert "a.jsonl: left out 1 row without topic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"", "there are no seeds"),
        ("a.txt", b"caf\xe9", "not UTF-8"),
        ("b.csv", b"id,n\n1,2\n", "no column"),
        ("b.csv", b'question\n"Why?\nHow?\n', "not a table"),
        ("c.jsonl", b"{", "not JSON"),
        ("c.jsonl", b"[1]", ":1: not an object"),
    ],
)
def test_invalid_seed_files_are_reported(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TrainError, match=problem):
        drop_repeated_seeds(read_seed_file(file))


def test_a_domain_has_questions_of_its_own() -> None:
    domains = {name: list(domain_questions(f"domain:{name}")) for name in known_domains()}
    assert set(domains) == {"medical", "quora", "stackoverflow"}
    for name, questions in domains.items():
        assert len(questions) == len(set(questions)) >= 150, name
        assert questions == list(domain_questions(f"domain:{name}"))
        assert all("{" not in seed and seed.endswith("?") for seed in questions)
    assert "What are the symptoms of cholera?" in domains["medical"]
    assert not any("unspecified" in seed for seed in domains["medical"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such domain; known: medical, quora, stackoverflow"),
        ('description = ""\ntemplates = ["What?"]\n', "no {term} in it"),
        ('description = ""\ntemplates = []\nterm = []\n', "term"),
        ('description = ""\ntemplates = []\nterms_from = "x"\n', "only icd-10-cm is known"),
    ],
)
def test_an_invalid_domain_is_reported(content: str | None, problem: str, tmp_path: Path) -> None:
    name = "domain:nothing"
    if content is not None:
        file = tmp_path / "mine.toml"
        file.write_text(content)
        name = f"domain:{file}"
    with pytest.raises(TrainError) as caught:
        list(domain_questions(name))
    assert problem in str(caught.value)


def test_dialogues_are_collected_about_a_domain(server: ScriptedServer, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("--seeds", "domain:medical", "--dialogues", "5", "--speaker", server.spec)
    done = run("selfchat", "-o", output, *arguments)
    assert done.returncode == 0, done.stderr
    assert len(read_records(output)) == 5


def test_repeated_seeds_are_dropped() -> None:
    kept, repeated = drop_repeated_seeds(
        ["Why is the sky blue?", "why is the sky blue", "Who bakes bread?"]
    )
    assert (kept, repeated) == (["Why is the sky blue?", "Who bakes bread?"], 1)


# --- real models ----------------------------------------------------------------------------------


def test_a_real_model_chats_with_itself(tmp_path: Path) -> None:
    seeds, output = tmp_path / "seeds.txt", tmp_path / "out.jsonl"
    seeds.write_text("What is the capital of France?\n")
    limits = ("--turns", "1", "--temperature", "0.0")
    speaker = ("--speaker", "local:smollm2-135m")
    done = run("selfchat", "--seeds", seeds, "-o", output, *speaker, *limits)
    assert done.returncode == 0, done.stderr
    (dialogue,) = read_records(output)
    assert "Paris" in dialogue["messages"][1]["content"]
    assert dialogue["meta"]["completion_tokens"] > 0


def test_the_grammar_makes_a_small_model_write_transcripts(tmp_path: Path) -> None:
    seeds, output = tmp_path / "seeds.txt", tmp_path / "out.jsonl"
    seeds.write_text("How do I bake bread?\nWhat do foxes eat?\nWhy does iron rust?\n")
    limits = ("--turns", "2", "--temperature", "0.4", "--mode", "transcript")
    speaker = ("--speaker", "local:smollm2-135m")
    done = run("selfchat", "--seeds", seeds, "-o", output, *speaker, *limits)
    assert done.returncode == 0, done.stderr
    records = [*read_records(output), *read_records(rejected_file(output))]
    assert len(records) == 3
    whole = [record for record in records if record["meta"].get("rejected") != "cut off"]
    assert whole
    assert {roles(record) for record in whole} == {"uaua"}
    assert all(record["messages"][0]["content"] == record["topic"] for record in whole)
    assert all(record["messages"][2]["content"].endswith("?") for record in whole)


@pytest.fixture(scope="module")
def real_server(smollm2: Path) -> Iterator[str]:
    """llama-cpp-python's own server on the real model."""
    with serve_model(smollm2) as url:
        yield f"server:{url}/v1#smollm2"


def test_a_collection_from_a_real_server(real_server: str, tmp_path: Path) -> None:
    seeds, output = tmp_path / "seeds.txt", tmp_path / "out.jsonl"
    seeds.write_text("What is the capital of France?\n")
    limits = ("--turns", "1", "--temperature", "0.0", "--at-once", "1")
    done = run("selfchat", "--seeds", seeds, "-o", output, "--speaker", real_server, *limits)
    assert done.returncode == 0, done.stderr
    (dialogue,) = read_records(output)
    assert "France" in dialogue["messages"][1]["content"]
    assert dialogue["meta"]["teacher"] == "smollm2"
    assert dialogue["meta"]["prompt_tokens"] > 0
