"""Collect dialogues from servers that limit, fail, stall and lie; kill the collection many times::

    python benchmarks/collection.py             # 20 dialogues from each server, 40 kills
    python benchmarks/collection.py --kills 10

It prints how many dialogues were kept, and how many requests were used for each that was needed. A
request is needed if its answer is part of a dialogue, or if the server failed at it by chance: such
a request has to be repeated, whatever the client does. The limited server answers 20 requests in 10
seconds. The lying one sends wrong counts, answers without text and web pages.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_train.selfchat.collection import rejected_file, replies_file
from tests.engine.remote.streaming_server import Handler, Respond, send, send_json
from tests.real_server import serve_model
from tests.train.scripted_server import Faults, RateLimit, ScriptedServer, completion, serve
from tests.train.self_talk import WORDS, talk

MOST_USED = 1.15
CALLS = 5
"""Of a dialogue with three answers."""


@dataclass(frozen=True)
class Scenario:
    """A kind of server."""

    name: str
    faults: Callable[[ScriptedServer], Faults]


def lie(server: ScriptedServer) -> Callable[[dict[str, Any]], Respond | None]:
    """Answers of a server that is not what it says: each kind in one of eight."""

    def useless(respond: Respond) -> Respond:
        def count_and_respond(handler: Handler) -> None:
            server.failed += 1
            respond(handler)

        return count_and_respond

    def intercept(request: dict[str, Any]) -> Respond | None:
        text = talk(request["messages"])
        kinds: list[Respond | None] = [
            useless(send(b"<html>busy</html>", content_type="text/html")),
            useless(send_json(completion(None))),
            send_json(completion(text, usage={"prompt_tokens": -1, "completion_tokens": 10**12})),
            send_json(completion(text, usage=None)),
            *[None] * 4,
        ]
        return server.chance.choice(kinds)

    return intercept


SCENARIOS = (
    Scenario("limited, says when", lambda server: Faults(rate=RateLimit(20, 10.0))),
    Scenario(
        "limited, says nothing", lambda server: Faults(rate=RateLimit(20, 10.0, says_when=False))
    ),
    Scenario("25 % 503", lambda server: Faults(failing=0.25)),
    Scenario("slow", lambda server: Faults(delay_s=1.0)),
    Scenario("lying", lambda server: Faults(intercept=lie(server))),
)


def seed_file(folder: Path, count: int) -> Path:
    file = folder / "seeds.txt"
    lines = [f"What is a {WORDS[n % 10]} made of in {n} ways?" for n in range(count)]
    file.write_text("\n".join(lines) + "\n")
    return file


def command(seeds: Path, output: Path, spec: str, *more: str) -> list[str]:
    arguments = ["selfchat", "--seeds", seeds, "-o", output, "--speaker", spec, "--near", "1"]
    return [sys.executable, "-m", "baize_train", *map(str, arguments), *more]


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def in_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def collect(scenario: Scenario, dialogues: int) -> tuple[int, float, float]:
    """Dialogues kept, requests used for each that was needed, and seconds."""
    with in_folder() as folder, serve(talk) as server:
        server.faults = scenario.faults(server)
        output = folder / "out.jsonl"
        began = time.perf_counter()
        done = subprocess.run(
            command(seed_file(folder, dialogues), output, server.spec),
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            print(done.stderr.strip())
        kept = len(read_lines(output))
        needed = kept * CALLS + server.failed
        return kept, len(server.requests) / max(needed, 1), seconds


def kill_often(kills: int, dialogues: int) -> str:
    """Kill a collection ``kills`` times at random moments; what is wrong then, or nothing."""
    chance = random.Random(7)
    with in_folder() as folder, serve(talk) as server:
        server.faults.delay_s = 0.02
        output = folder / "out.jsonl"
        run = command(seed_file(folder, dialogues), output, server.spec, "--json")
        for _ in range(kills):
            before = len(server.requests)
            process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while len(server.requests) == before and process.poll() is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            time.sleep(chance.random() * 0.3)
            process.kill()
            process.wait()
        done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip()
        report = json.loads(done.stdout)
        return _what_is_wrong(output, report, dialogues, len(server.requests), kills)


def _what_is_wrong(
    output: Path, report: dict[str, Any], dialogues: int, requests: int, kills: int
) -> str:
    records = [*read_lines(output), *read_lines(rejected_file(output))]
    keys = {record["meta"]["key"] for record in records}
    if len(records) != dialogues or len(keys) != dialogues:
        return f"{len(records)} dialogues with {len(keys)} keys, not {dialogues}"
    tokens = sum(r["meta"]["prompt_tokens"] + r["meta"]["completion_tokens"] for r in records)
    if report["total_tokens"] != tokens:
        return f"{report['total_tokens']} tokens spent, {tokens} in the dialogues"
    (total,) = read_lines(replies_file(output))
    if total["prompt_tokens"] + total["completion_tokens"] != tokens:
        return f"the journal counts {total}"
    lost = requests - dialogues * CALLS
    # A kill loses the requests that are on their way, at most one for each dialogue in progress.
    if not 0 <= lost <= kills * 8:
        return f"{lost} requests more than needed"
    print(
        f"killed {kills} times: {dialogues} dialogues, none twice, {lost} requests lost on the way"
    )
    return ""


def collect_from_real_server() -> int:
    """Dialogues kept from llama-cpp-python's server with the embedded model."""
    from baize_tui.catalog.finding import find_model
    from baize_tui.paths import project_paths

    path = find_model("smollm2-135m", project_paths()).path
    assert path is not None
    with in_folder() as folder, serve_model(path) as url:
        output = folder / "out.jsonl"
        limits = ("--turns", "1", "--max-tokens", "60", "--no-filter", "all", "--at-once", "2")
        run = command(seed_file(folder, 4), output, f"server:{url}/v1#smollm2", *limits)
        subprocess.run(run, check=True, capture_output=True)
        return len([*read_lines(output), *read_lines(rejected_file(output))])


def main(
    dialogues: Annotated[int, typer.Option(min=1)] = 20,
    kills: Annotated[int, typer.Option(min=0)] = 40,
    real: Annotated[bool, typer.Option(help="A real server, too.")] = True,
) -> None:
    os.environ["OPENAI_API_KEY"] = ""
    missed = False
    for scenario in SCENARIOS:
        kept, used, seconds = collect(scenario, dialogues)
        missed |= kept < dialogues or used > MOST_USED
        print(
            f"{scenario.name}: {kept} of {dialogues} dialogues kept, "
            f"{used:.2f} requests used for each needed (at most {MOST_USED}), {seconds:.0f} s"
        )
    if kills:
        wrong = kill_often(kills, dialogues * 2)
        missed |= bool(wrong)
        if wrong:
            print(f"killed {kills} times: {wrong}")
    if real:
        print(f"llama-cpp-python's server: {collect_from_real_server()} of 4 dialogues finished")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
