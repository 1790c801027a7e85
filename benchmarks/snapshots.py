"""The first token after a restart: a conversation of 2,000 tokens, restored, and read again::

    python benchmarks/snapshots.py --llama-server PATH
    python benchmarks/snapshots.py --part 135m

Each round starts the worker three times and measures the time from sending a question to the first
token of the answer:

- ``cold``: nothing is saved, and the conversation is read;
- ``restored``: the question is sent as soon as the model is loaded;
- ``opened``: the conversation was opened before, which restores it, as in the client.

There are two models: SmolLM2 135M, and one of 1.2 billion parameters with the same vocabulary
(``benchmarks/widened_model.py``): with random weights and a vocabulary of letters, a short question
would have 37 tokens.

llama-server, if it is given, saves the same prompt with its slot files, is restarted, restores it,
and answers. It is part of the source distribution of llama-cpp-python (vendor/llama.cpp, target
llama-server). The ratios are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.bench.machine import processor_name
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import Count, Delta, Finished, Generate, Prompt, PromptMessage, Warm
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from benchmarks.decode import small_model
from benchmarks.widened_model import widened_model

LEAST_SPEEDUP = 50.0
TOKENS = 2000
QUESTION = "Hello"
CONTEXT = 4096
BUDGET = 4 << 30
ROUNDS = 3
MODELS: dict[str, Callable[[], Path]] = {
    "135m": lambda: small_model().path,
    "1.2b": lambda: widened_model(small_model().path),
}


@dataclass(frozen=True)
class FirstToken:
    """The first token of an answer."""

    seconds: float
    prompt_tokens: int
    reused_tokens: int


def history(words: int) -> Prompt:
    messages = [PromptMessage("user", "word " * words), PromptMessage("assistant", "Yes.")]
    return Prompt(messages, template=TEMPLATE)


TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n"
)


def asked(prompt: Prompt, question: str) -> Prompt:
    return Prompt([*prompt.messages, PromptMessage("user", question)], template=TEMPLATE)


async def first_token(engine: WorkerEngine, prompt: Prompt, conversation: str) -> FirstToken:
    request = Generate(
        0, asked(prompt, QUESTION), Sampling(temperature=0), max_tokens=2, conversation=conversation
    )
    began, first, stats = time.perf_counter(), 0.0, None
    async for event in engine.generate(request):
        if isinstance(event, Delta | Finished) and not first:
            first = time.perf_counter() - began
        if isinstance(event, Finished):
            stats = event.stats
    assert stats is not None
    return FirstToken(first, stats.prompt_tokens, stats.reused_tokens)


async def restarted(paths: Paths, model: Path, budget: int) -> WorkerEngine:
    engine = WorkerEngine(paths)
    await engine.load(ModelSpec(str(model), CONTEXT, snapshot_budget=budget))
    return engine


async def one_round(paths: Paths, model: Path, prompt: Prompt) -> dict[str, FirstToken]:
    times = {}
    engine = await restarted(paths, model, 0)
    times["cold"] = await first_token(engine, prompt, "")
    await engine.close()
    for name in ("restored", "opened"):
        engine = await restarted(paths, model, BUDGET)
        if name == "opened":
            await engine.warm(Warm(0, asked(prompt, ""), conversation="c"))
        times[name] = await first_token(engine, prompt, "c")
        await engine.close()
    return times


async def compare(name: str, model: Path, server: Path | None) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        paths = Paths(home / "config", home / "data", home / "cache", home / "logs")
        engine = await restarted(paths, model, BUDGET)
        prompt = history(await words_for(engine))
        await engine.warm(Warm(0, asked(prompt, ""), conversation="c"))
        assert await engine.save_cache() == ""
        await engine.close()
        rounds = [await one_round(paths, model, prompt) for _ in range(ROUNDS)]
        theirs = []
        if server is not None:
            theirs = [server_first_token(server, model, prompt, home) for _ in range(ROUNDS)]
        size = sum(file.stat().st_size for file in paths.snapshots_folder.glob("*/*"))
    return report(name, rounds, theirs, size)


async def words_for(engine: WorkerEngine) -> int:
    """How many words make a prompt of about ``TOKENS``."""
    few, many = 100, 200
    first = await engine.count(Count(0, asked(history(few), "")))
    second = await engine.count(Count(0, asked(history(many), "")))
    per_word = (second - first) / (many - few)
    return few + round((TOKENS - first) / per_word)


def report(name: str, rounds: list[dict[str, FirstToken]], theirs: list[float], size: int) -> bool:
    def median(kind: str) -> float:
        return statistics.median(times[kind].seconds for times in rounds)

    last = rounds[-1]
    print(
        f"{name}, {last['cold'].prompt_tokens} tokens, {size / 2**20:.0f} MiB saved; "
        "time to the first token:"
    )
    met = True
    for kind in ("restored", "opened"):
        speedup = statistics.median(times["cold"].seconds / times[kind].seconds for times in rounds)
        new = last[kind].prompt_tokens - last[kind].reused_tokens
        limit = f"; at least {LEAST_SPEEDUP:.0f}" if kind == "opened" else ""
        print(
            f"  {kind}: {median(kind) * 1000:.0f} ms, cold {median('cold') * 1000:.0f} ms, "
            f"{speedup:.0f} times as fast{limit} ({new} tokens read)"
        )
        met = met and (kind != "opened" or speedup >= LEAST_SPEEDUP)
    if theirs:
        ratio = median("opened") / statistics.median(theirs)
        print(
            f"  llama-server, restarted, slot restored: {statistics.median(theirs) * 1000:.0f} ms; "
            f"ours over it {ratio:.2f} (below 1)"
        )
        met = met and ratio < 1
    return met


# --- llama-server -------------------------------------------------------------------------------


def server_first_token(server: Path, model: Path, prompt: Prompt, home: Path) -> float:
    """Seconds to the first token of a restarted llama-server, after it has restored its slot."""
    rendered = "".join(
        f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n" for message in prompt.messages
    )
    full = f"{rendered}<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    with running_server(server, model, home) as url:
        if not (home / "slot.bin").exists():
            post(f"{url}/completion", prompt=rendered, n_predict=1, id_slot=0, cache_prompt=True)
            post(f"{url}/slots/0?action=save", filename="slot.bin")
    with running_server(server, model, home) as url:
        post(f"{url}/slots/0?action=restore", filename="slot.bin")
        began = time.perf_counter()
        post(f"{url}/completion", prompt=full, n_predict=1, id_slot=0, cache_prompt=True)
        return time.perf_counter() - began


@contextmanager
def running_server(server: Path, model: Path, home: Path) -> Iterator[str]:
    port = "18471"
    command = [str(server), "-m", str(model), "-c", str(CONTEXT), "--port", port, "-np", "1"]
    command += ["--slot-save-path", str(home), "--no-webui", "-ngl", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            assert process.poll() is None, "llama-server ended"
            try:
                urllib.request.urlopen(f"{url}/health")
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def post(url: str, **content: Any) -> Any:
    body = json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def main(
    llama_server: Annotated[Path | None, typer.Option(help="The program to compare with.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="135m or 1.2b; all without.")] = None,
) -> None:
    print(processor_name())
    results = [
        asyncio.run(compare(name, make(), llama_server))
        for name, make in MODELS.items()
        if part is None or name in part
    ]
    raise typer.Exit(0 if all(results) else 1)


if __name__ == "__main__":
    typer.run(main)
