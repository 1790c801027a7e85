"""The cost of the screen: for the model that answers, and with thousands of turns::

    python benchmarks/screen.py

The client runs in a pseudo-terminal with the real model. The same question is asked on the screen
and in the worker alone, in turn; the worker times its own tokens, and the store keeps the times.
The processor time and the memory of the client are read from /proc (Linux). A frame is the time
from a key to the last byte that the client writes for it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.catalog.finding import find_model
from baize_tui.chat.formats import system_prompt
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import Finished, Generate, Prompt, PromptMessage, Stats
from baize_tui.paths import project_paths
from baize_tui.settings import ChatSettings, Sampling
from baize_tui.store.conversations import Store
from benchmarks.terminal import TimedTerminal

TOKENS = 400
PAIRS = 5
QUESTION = "Explain twenty sorting algorithms, each with a Python code block and a bullet list."
LOWEST_DECODE, MOST_CPU = 0.90, 0.20
OPENINGS = 7
PAGES = 250
HIGHEST_OPENING, SLOWEST_FRAME_S, MOST_MEMORY_MB = 3.0, 0.100, 100
QUIET_S = 0.03
ALT_HOME, PAGE_UP, PAGE_DOWN, WHEEL_UP = b"\x1b[1;3H", b"\x1b[5~", b"\x1b[6~", b"\x1b[<64;60;10M"
ANSWER = """Here is the answer, with **bold** and `code`:

- a first point that is long enough to wrap around a line of a terminal of one hundred columns
- a second point
- a third point

```python
def add(a: int, b: int) -> int:
    return a + b
```

| language | year |
|---|---|
| Python | 1991 |
| Rust | 2015 |

That is all there is to say about it. 白泽 is a beast that knows.
"""


def client(home: str) -> TimedTerminal:
    return TimedTerminal([sys.executable, "-m", "baize_tui"], {"BAIZE_HOME": home})


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


# --- while the model answers --------------------------------------------------------------------


def through_the_screen(home: str, sampling: Sampling) -> tuple[float, float]:
    """Tokens/s of one answer on the screen, and the client's share of one core meanwhile."""
    Path(home, "config").mkdir()
    Path(home, "config", "config.toml").write_text(
        f"[chat]\nmax_tokens = {TOKENS}\n[sampling]\ntemperature = 0.0\nseed = {sampling.seed}\n"
    )
    terminal = client(home)
    terminal.seconds_until(b"moderated")
    terminal.type(QUESTION.encode())
    time.sleep(0.5)  # the draft is counted
    terminal.forget()
    terminal.type(b"\r")
    terminal.seconds_until(b"answering")
    began, before = time.perf_counter(), cpu_s(terminal.pid)
    terminal.seconds_until(b"tokens/s")
    share = (cpu_s(terminal.pid) - before) / (time.perf_counter() - began)
    store = Store(Path(home, "data", "conversations.db"))
    id = store.conversations()[0].id
    while (provenance := store.shown_messages(id)[-1].provenance) is None:
        time.sleep(0.05)  # it is saved after its last word is shown
    store.close()
    terminal.end()
    assert provenance["completion_tokens"] == TOKENS, "the answer ended early"
    return (provenance["completion_tokens"] - 1) / provenance["decode_s"], share


async def through_the_worker(path: str, sampling: Sampling) -> float:
    """Tokens/s of the same answer without a screen."""
    engine = WorkerEngine(project_paths())
    await engine.load(ModelSpec(path))
    chat = ChatSettings()
    system = system_prompt(chat.system, moderation=chat.moderation)
    prompt = Prompt([PromptMessage("system", system), PromptMessage("user", QUESTION)])
    stats: Stats | None = None
    async for event in engine.generate(Generate(0, prompt, sampling, max_tokens=TOKENS)):
        if isinstance(event, Finished):
            stats = event.stats
    await engine.close()
    assert stats is not None
    return stats.tokens_per_second


def decoding() -> bool:
    model = find_model(None, project_paths())
    sampling = Sampling(temperature=0, seed=1, repeat_penalty=1.1)
    pairs: list[tuple[float, float]] = []
    shares: list[float] = []
    for number in range(PAIRS + 1):
        alone = asyncio.run(through_the_worker(str(model.path), sampling))
        with tempfile.TemporaryDirectory() as home:
            screen, share = through_the_screen(home, sampling)
        if number:  # the first pair warms up
            pairs.append((alone, screen))
            shares.append(share)
    ratio = statistics.median(screen / alone for alone, screen in pairs)
    alone, screen = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"decoding: on the screen {screen:.1f} tokens/s, worker alone {alone:.1f}, ratio "
        f"{ratio:.3f} (median of {PAIRS} pairs; at least {LOWEST_DECODE})"
    )
    share = statistics.median(shares)
    print(f"  the client meanwhile: {share:.1%} of one core (at most {MOST_CPU:.0%})")
    return ratio >= LOWEST_DECODE and share <= MOST_CPU


# --- thousands of turns -------------------------------------------------------------------------


def fill_store(home: str) -> None:
    """One conversation of 50 messages, one of 5,000; the shorter is on top of the list."""
    store = Store(Path(home, "data", "conversations.db"))
    for count in (5000, 50):
        conversation = store.new_conversation(system="", moderation=True, title=f"Talk {count}")
        parent: int | None = None
        for number in range(count // 2):
            parent = store.add_message(
                conversation.id, parent, "user", f"Question {number} of {count}?"
            ).id
            text = f"Answer {number} of {count}.\n\n{ANSWER}\nEnd {number} of {count}."
            ids = list(range(300))
            parent = store.add_message(conversation.id, parent, "assistant", text, ids=ids).id
    store.close()


def open_talk(terminal: TimedTerminal, count: int) -> float:
    """Seconds from Enter in the list to the last line of the conversation on the screen."""
    terminal.type(b"\x0e")
    terminal.seconds_until(b"sk something")
    terminal.type(b"\x02" + str(count).encode())
    time.sleep(0.3)
    terminal.forget()
    began = time.perf_counter() - terminal.started
    terminal.type(b"\r")
    seconds = terminal.seconds_until(f"End {count // 2 - 1} of {count}.".encode()) - began
    time.sleep(1.0)  # until the whole output is read
    terminal.read()
    terminal.forget()
    return seconds


def frame_s(terminal: TimedTerminal, key: bytes) -> float:
    """Seconds from a key to the last byte that is written for it."""
    began = last = time.perf_counter()
    terminal.type(key)
    while time.perf_counter() - last < QUIET_S or last == began:
        if terminal.read(0.002):
            last = time.perf_counter()
        if time.perf_counter() - began > 1.0:
            break  # nothing moves: the end is reached
    terminal.forget()
    return last - began


def long_conversation() -> bool:
    with tempfile.TemporaryDirectory() as home:
        fill_store(home)
        terminal = client(home)
        terminal.seconds_until(b"moderated")
        times: dict[int, list[float]] = {50: [], 5000: []}
        for number in range(OPENINGS + 1):
            for count, column in times.items():
                seconds = open_talk(terminal, count)
                if number:  # the first opening imports the Markdown renderer
                    column.append(seconds)
        frames = [frame_s(terminal, PAGE_UP) for _ in range(PAGES)]
        frames += [frame_s(terminal, WHEEL_UP) for _ in range(PAGES)]
        frames.append(frame_s(terminal, ALT_HOME))
        frames += [frame_s(terminal, PAGE_DOWN) for _ in range(PAGES)]
        memory = memory_mb(terminal.pid)
        terminal.end()
    ratio = statistics.median(
        long / short for short, long in zip(times[50], times[5000], strict=True)
    )
    short, long = (statistics.median(column) * 1000 for column in times.values())
    print(
        f"opening: 5,000 messages {long:.0f} ms, 50 messages {short:.0f} ms, ratio {ratio:.2f} "
        f"(median of {OPENINGS}; at most {HIGHEST_OPENING})"
    )
    slowest = max(frames)
    print(
        f"scrolling through the 5,000: median frame {statistics.median(frames) * 1000:.0f} ms, "
        f"slowest of {len(frames)} {slowest * 1000:.0f} ms (at most {SLOWEST_FRAME_S * 1000:.0f})"
    )
    print(f"memory of the client with them open: {memory:.0f} MB (at most {MOST_MEMORY_MB})")
    return ratio <= HIGHEST_OPENING and slowest <= SLOWEST_FRAME_S and memory <= MOST_MEMORY_MB


def main() -> int:
    results = [decoding(), long_conversation()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
