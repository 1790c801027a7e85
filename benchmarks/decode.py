"""The speed of the client, compared with llama-bench at every fixed thread count::

    python benchmarks/decode.py --llama-bench PATH
    python benchmarks/decode.py --part idle-135m --part busy-135m

There are two models: SmolLM2 135M, and random weights in the shape of a 1.1B LLaMA, which are made
once and kept in the folder for temporary files. The parts are:

- ``idle`` and ``busy``: decoding with ``ask`` and on the screen, over the best fixed count of
  llama-bench, on an idle machine and beside a process that keeps one core busy;
- ``prefill``: reading a prompt of 1,000 tokens, over llama-bench;
- ``settle``: the time from the start or the end of a load to the change of the thread count.

Both sides run in turn; the ratios are medians of the rounds.

llama-bench is part of the source distribution of llama-cpp-python (vendor/llama.cpp, target
llama-bench) and runs with the libraries of the binding. Without it on PATH, a bare loop on the
binding does the same work, and the output says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import llama_cpp.llama_cpp as lib

from baize_tui.bench.busy_core import busy_core, start_busy_process
from baize_tui.bench.machine import processor_name
from baize_tui.catalog.finding import find_model
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.bare_loop import time_loop
from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Generate, Load, Prompt, PromptMessage
from baize_tui.engine.threads.cores import most_threads
from baize_tui.paths import project_paths
from baize_tui.settings import Sampling
from baize_tui.store.conversations import Store
from benchmarks.convert import MERGE, SHAPES, make_base
from benchmarks.terminal import PATIENCE_S, TimedTerminal
from build_llama.installation import pinned_version

LEAST_IDLE, LEAST_BUSY, LEAST_PREFILL, MOST_SETTLING_S = 0.95, 0.90, 0.95, 2.0
PHASE_S = 3.0
MOSTLY = 0.95
"""A count has settled when this part of all later tokens is computed with it."""
SLOW, SLOW_BUSY = 0.75, 0.5
"""Fixed counts below this part of the best are skipped after the first round."""
QUESTION = "Write a very long story about a dragon and a knight."


@dataclass(frozen=True)
class Case:
    """A model, and the number of tokens and rounds to run."""

    path: Path
    tokens: int
    rounds: int
    prompt_rounds: int
    prompt_words: int
    """Words of the prompt of about 1,000 tokens; the large model's vocabulary has only letters."""


def small_model() -> Case:
    model = find_model(None, project_paths())
    assert model.path is not None
    return Case(model.path, 384, 7, 5, 1000)


def large_model() -> Case:
    """TinyLlama's shape with random weights in Q4_K_M."""
    folder = Path(tempfile.gettempdir()) / "baize-bench"
    file = folder / "llama-1.1b-q4_k_m.gguf"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            base, output = Path(temporary, "base"), Path(temporary, "model.gguf")
            make_base(base, SHAPES["1.1b"])
            command = [*MERGE, str(base), "--outtype", "Q4_K_M", "--output", str(output)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            output.rename(file)
    return Case(file, 96, 5, 2, 200)


MODELS: dict[str, Callable[[], Case]] = {"135m": small_model, "1.1b": large_model}


# --- the peer -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """llama-bench, or the bare loop."""

    command: Sequence[str]
    name: str

    def rates(
        self, case: Case, counts: Sequence[int], *, prompt: int = 0, depth: int = 0
    ) -> dict[int, float]:
        """Tokens per second by thread count, for reading ``prompt`` tokens, or for writing.

        ``depth`` is the number of tokens in the context before the first written one.
        """
        wanted = ["-p", str(prompt), "-n", "0"]
        if not prompt:
            wanted = ["-p", "0", "-n", str(case.tokens), "-d", str(depth)]
        command = [*self.command, "-m", str(case.path), *wanted, "-r", "1", "-o", "json"]
        command += ["-ngl", "0", "-t", ",".join(map(str, counts))]
        libraries = str(Path(lib.__file__).parent / "lib")
        completed = subprocess.run(
            command,
            check=True,
            capture_output=True,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
        results = json.loads(completed.stdout)
        return {int(result["n_threads"]): float(result["avg_ts"]) for result in results}


def find_peer(llama_bench: Path | None) -> Peer:
    program = str(llama_bench) if llama_bench is not None else shutil.which("llama-bench")
    if program is not None:
        return Peer([program], "llama-bench")
    print(
        "llama-bench is not on PATH, so a bare loop on the binding replaces it. To build it:\n"
        f"  pip download --no-deps --no-binary :all: llama-cpp-python=={pinned_version()}, "
        "unpack it, then\n"
        "  cmake -S vendor/llama.cpp -B build -DBUILD_SHARED_LIBS=ON && "
        "cmake --build build --target llama-bench"
    )
    return Peer([sys.executable, __file__, "bare"], "bare loop")


def bare_loop(arguments: Sequence[str]) -> None:
    """Do the work of llama-bench (``test_prompt`` and ``test_gen``) with the binding alone."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    prompt, written, depth = (int(options.get(key, 0)) for key in ("-p", "-n", "-d"))
    results = []
    with Model(options["-m"]) as model:
        for threads in map(int, options["-t"].split(",")):
            for _ in range(2):  # the first warms up
                times = time_loop(
                    model,
                    AbortFlag(),
                    threads=threads,
                    read=prompt or depth,
                    written=0 if prompt else written,
                    most_s=math.inf,
                )
            rate = prompt / times.read_s if prompt else written / times.write_s
            results.append({"n_threads": threads, "avg_ts": rate})
    print(json.dumps(results))


# --- the client ---------------------------------------------------------------------------------


def write_settings(home: str, case: Case) -> None:
    """Write settings with the model and a fixed length of the answer."""
    Path(home, "config").mkdir()
    Path(home, "config", "config.toml").write_text(
        f'[model]\ndefault = "{case.path}"\n[chat]\nformat = "chatml"\n'
        f"max_tokens = {case.tokens}\n[sampling]\ntemperature = 0.0\nseed = 1\n"
    )


def run_ask(case: Case, question: str = QUESTION) -> dict[str, float]:
    """The output of ``ask --json`` for one question."""
    with tempfile.TemporaryDirectory() as home:
        write_settings(home, case)
        command = [sys.executable, "-m", "baize_tui", "ask", "--json", "--no-save", "-"]
        completed = subprocess.run(
            command,
            check=True,
            capture_output=True,
            input=question.encode(),
            env={**os.environ, "BAIZE_HOME": home},
        )
    answer: dict[str, float] = json.loads(completed.stdout)
    return answer


def decode_through_ask(case: Case) -> float:
    answer = run_ask(case)
    assert answer["completion_tokens"] == case.tokens, "the answer ended early"
    return answer["tokens_per_second"]


def decode_through_screen(case: Case) -> float:
    """Tokens per second of an answer that is drawn in a terminal."""
    with tempfile.TemporaryDirectory() as home:
        write_settings(home, case)
        terminal = TimedTerminal([sys.executable, "-m", "baize_tui"], {"BAIZE_HOME": home})
        terminal.seconds_until(b"moderated")
        terminal.type(QUESTION.encode())
        time.sleep(1.0)  # until the client has counted the draft
        terminal.forget()
        terminal.type(b"\r")
        terminal.seconds_until(b"answering")
        provenance = saved_provenance(terminal, Path(home, "data", "conversations.db"))
        terminal.end()
    assert provenance["completion_tokens"] == case.tokens, "the answer ended early"
    return float((provenance["completion_tokens"] - 1) / provenance["decode_s"])


def saved_provenance(terminal: TimedTerminal, file: Path) -> dict[str, Any]:
    """How the only answer was made, once it is saved; meanwhile the output is read."""
    store = Store(file)
    end = time.perf_counter() + PATIENCE_S
    while not (made := store.shown_messages(store.conversations()[0].id)[-1].provenance):
        assert time.perf_counter() < end, "the answer did not end"
        resume = time.perf_counter() + 0.5  # rarely, so that this process takes no core
        while time.perf_counter() < resume:
            terminal.read(0.5)
    store.close()
    return made


# --- the comparisons ----------------------------------------------------------------------------


def static_counts() -> list[int]:
    """Every thread count of a small machine, some of those of a large one."""
    most = most_threads()
    return sorted({count for count in (*range(1, 5), 6, 8, 12, 16, 24, 32, most) if count <= most})


def fast_counts(rates: dict[int, float], slow: float) -> list[int]:
    best = max(rates.values())
    return [count for count, rate in rates.items() if rate >= slow * best]


def table(rates: Sequence[dict[int, float]]) -> str:
    counts = sorted({count for rate in rates for count in rate})
    medians = {
        count: statistics.median(rate[count] for rate in rates if count in rate) for count in counts
    }
    return ", ".join(f"{count} thread(s) {rate:.1f}" for count, rate in medians.items())


def decoding(name: str, case: Case, peer: Peer, *, busy: bool) -> bool:
    lowest = LEAST_BUSY if busy else LEAST_IDLE
    front_ends = {"ask": decode_through_ask, "screen": decode_through_screen}
    ours: dict[str, list[float]] = {front_end: [] for front_end in front_ends}
    ratios: dict[str, list[float]] = {front_end: [] for front_end in front_ends}
    depth = int(run_ask(dataclasses.replace(case, tokens=1))["prompt_tokens"])
    with busy_core() if busy else contextlib.nullcontext():
        first = peer.rates(case, static_counts(), depth=depth)
        rounds = [first]
        counts = fast_counts(first, SLOW_BUSY if busy else SLOW)
        for _ in range(case.rounds):
            before = peer.rates(case, counts, depth=depth)
            for front_end, speed in front_ends.items():
                ours[front_end].append(speed(case))
            after = peer.rates(case, counts, depth=depth)
            rounds += [before, after]
            best = max(statistics.mean((before[count], after[count])) for count in counts)
            for front_end in front_ends:
                ratios[front_end].append(ours[front_end][-1] / best)
    load_is = "one core busy" if busy else "idle"
    print(f"decoding {name} after a prompt of {depth} tokens, {load_is}, tokens/s:")
    print(f"  {peer.name}: {table(rounds)}")
    met = True
    for front_end in front_ends:
        ratio = statistics.median(ratios[front_end])
        met = met and ratio >= lowest
        print(
            f"  {front_end}: {statistics.median(ours[front_end]):.1f}, ratio {ratio:.3f} "
            f"({min(ratios[front_end]):.2f} to {max(ratios[front_end]):.2f} in {case.rounds} "
            f"rounds; at least {lowest})"
        )
    return met


def reading(name: str, case: Case, peer: Peer) -> bool:
    question = "word " * case.prompt_words
    ours, theirs, ratios = [], [], []
    for number in range(case.prompt_rounds + 1):
        answer = run_ask(dataclasses.replace(case, tokens=1), question)
        tokens = int(answer["prompt_tokens"])
        rate = tokens / answer["ttft_s"]
        best = max(peer.rates(case, [most_threads()], prompt=tokens).values())
        if number:  # the first round warms up
            ours.append(rate)
            theirs.append(best)
            ratios.append(rate / best)
    ratio = statistics.median(ratios)
    print(
        f"reading {tokens} tokens, {name}, idle: {statistics.median(ours):.1f} tokens/s, "
        f"{peer.name} {statistics.median(theirs):.1f}, ratio {ratio:.3f} "
        f"({min(ratios):.2f} to {max(ratios):.2f} in {case.prompt_rounds} rounds; "
        f"at least {LEAST_PREFILL})"
    )
    return ratio >= LEAST_PREFILL


def settling(name: str, case: Case) -> bool:
    """Start and end a load while one long answer is written in this process."""
    engine = LlamaEngine(Load(0, str(case.path), context=4096), AbortFlag())
    times: dict[bool, list[float]] = {True: [], False: []}
    phases: list[tuple[bool, float]] = []
    counts: list[tuple[float, int]] = []
    load: subprocess.Popen[bytes] | None = None
    try:
        with contextlib.suppress(StopIteration):
            for _ in _endless(engine):
                now = time.perf_counter()
                counts.append((now, engine.threads.decoding.threads))
                if not phases or now - phases[-1][1] > PHASE_S:
                    if len(phases) > 2 * case.rounds:
                        break
                    if load is None and phases:
                        load = start_busy_process()
                    elif load is not None:
                        load.kill()
                        load.wait()
                        load = None
                    phases.append((load is not None, time.perf_counter()))
    finally:
        if load is not None:
            load.kill()
            load.wait()
        engine.close()
    for number, (busy, began) in enumerate(phases[:-1]):
        if number:
            during = [count for count in counts if began <= count[0] < phases[number + 1][1]]
            times[busy].append(settled_after(during, began))
    met = True
    for busy, column in times.items():
        median = statistics.median(column)
        met = met and median <= MOST_SETTLING_S
        print(
            f"settling {name} after the load {'starts' if busy else 'ends'}: {median:.2f} s "
            f"(slowest of {len(column)}: {max(column):.2f} s; at most {MOST_SETTLING_S})"
        )
    return met


def _endless(engine: LlamaEngine) -> Iterator[object]:
    """The events of one answer after another."""
    while True:
        prompt = Prompt([PromptMessage("user", QUESTION)], template=CHATML)
        request = Generate(1, prompt, Sampling(temperature=1.0), max_tokens=1024)
        for event in engine.generate(request):
            if not isinstance(event, Finished):
                yield event


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def settled_after(counts: Sequence[tuple[float, int]], began: float) -> float:
    """Seconds from ``began`` until nearly all later tokens have the same count."""
    final = Counter(count for _, count in counts[len(counts) // 2 :]).most_common(1)[0][0]
    rest = len(counts)
    same = 0
    for number in range(len(counts) - 1, -1, -1):
        same += counts[number][1] == final
        if counts[number][1] == final and same >= MOSTLY * (len(counts) - number):
            rest = number
    return counts[rest][0] - began


PARTS: dict[str, Callable[[str, Case, Peer], bool]] = {
    "idle": lambda name, case, peer: decoding(name, case, peer, busy=False),
    "busy": lambda name, case, peer: decoding(name, case, peer, busy=True),
    "prefill": reading,
    "settle": lambda name, case, peer: settling(name, case),
}


def main(
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="idle-135m, busy-135m, prefill-135m, settle-135m, or -1.1b; all by default"
        ),
    ] = None,
    llama_bench: Annotated[Path | None, typer.Option(help="The program to compare with.")] = None,
) -> None:
    all_parts = [f"{what}-{name}" for name in MODELS for what in PARTS]
    parts = part or all_parts
    if unknown := set(parts) - set(all_parts):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: the parts are {', '.join(all_parts)}"
        )
    print(f"{processor_name()}, {most_threads()} threads at most")
    peer = find_peer(llama_bench)
    met = True
    for chosen in parts:
        what, _, name = chosen.partition("-")
        met = PARTS[what](name, MODELS[name](), peer) and met
        sys.stdout.flush()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare_loop(sys.argv[2:])
    else:
        typer.run(main)
