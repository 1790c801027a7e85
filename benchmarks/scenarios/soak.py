"""A client answers 1,000 messages with a small context, snapshots and titles on.

The context fills every few turns, so that old turns are dropped again and again; the conversation
changes now and then, so that states are saved and restored. After every ``TURNS_PER_REPLAY`` turns
the last answer is generated again by another engine that starts from nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from baize_tui.chat.store_thread import open_store
from baize_tui.cli.open_chat import open_chat
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import Paths
from baize_tui.settings import load_settings
from baize_tui.store.conversations import Store
from baize_tui.store.records import Message
from benchmarks.client_terminal import ClientTerminal, client_processes
from benchmarks.scenarios.figures import Figure, Options

TURNS = 1000
CONTEXT = 768
TURNS_PER_REPLAY = 20
TURNS_PER_CONVERSATION = 50
IDLE_S = 5.0
"""Enough for a title."""
FEWEST_TURNS_FOR_MEMORY = 300
MOST_GROWTH = 1.10
NEAR_TIE = 0.02
"""Two tokens whose probabilities differ by less may change places with the size of a batch."""
SETTINGS = f"""
[model]
context = {CONTEXT}

[chat]
max_tokens = 16

[sampling]
temperature = 0
"""
WORDS = (
    "river",
    "stone",
    "lamp",
    "garden",
    "window",
    "letter",
    "bridge",
    "winter",
    "copper",
    "music",
)
ENTER, CTRL_N, CTRL_Q = b"\r", b"\x0e", b"\x11"


@dataclass
class Memory:
    """Resident bytes of a process after each turn."""

    client: list[int] = field(default_factory=list)
    worker: list[int] = field(default_factory=list)


def run(options: Options) -> Iterator[Figure]:
    chance = random.Random(options.seed)
    turns = max(TURNS_PER_REPLAY, round(options.part(TURNS)))
    memory = Memory()
    different: list[str] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home = Path(folder)
        (home / "config").mkdir()
        (home / "config" / "config.toml").write_text(SETTINGS)
        store = Store(home / "data" / "conversations.db")
        terminal = ClientTerminal(home)
        try:
            terminal.wait_for(lambda screen: "Ask something" in screen)
            for turn in range(turns):
                if turn and turn % TURNS_PER_CONVERSATION == 0:
                    terminal.type(CTRL_N)
                    terminal.wait_for(lambda screen: "▌ T-" not in screen)
                question = f"T-{turn} {' '.join(chance.choices(WORDS, k=40))}."
                terminal.type(question.encode() + ENTER)
                wait_for_answer(terminal, store, question)
                if turn % TURNS_PER_CONVERSATION == 0:
                    terminal.read(IDLE_S)  # for the title: later, the context has no room for one
                remember(memory, terminal, home)
                if turn % TURNS_PER_REPLAY == TURNS_PER_REPLAY - 1:
                    difference = asyncio.run(replay_last_answer(home, store))
                    different += [f"turn {turn}: {difference}"] if difference else []
            terminal.type(CTRL_Q)
            terminal.read(1.0)
        finally:
            terminal.close()
            for process in client_processes(home):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            os.waitpid(terminal.child, 0)
        yield from check_answers(store, turns)
        store.close()
    yield Figure(
        "the kept state gives the same answer as a prompt from scratch",
        turns // TURNS_PER_REPLAY,
        tuple(different),
    )
    if turns >= FEWEST_TURNS_FOR_MEMORY:
        yield flat("client", memory.client)
        yield flat("worker", memory.worker)


def wait_for_answer(terminal: ClientTerminal, store: Store, question: str) -> None:
    """Wait until the answer is stored, and the screen says so."""
    terminal.wait_for(lambda _: is_answered(store, question))
    terminal.wait_for(lambda screen: "answering" not in screen.rpartition("\n")[2])


def is_answered(store: Store, question: str) -> bool:
    conversations = store.conversations()
    shown = store.shown_messages(conversations[0].id)[-2:] if conversations else []
    return [message.text for message in shown[:1]] == [question] and shown[-1].state != "streaming"


def remember(memory: Memory, terminal: ClientTerminal, home: Path) -> None:
    """Note the resident memory of the client and its worker."""
    for process in client_processes(home):
        with contextlib.suppress(psutil.Error):
            if process.pid == terminal.child:
                memory.client.append(process.memory_info().rss)
            elif "baize_tui.engine.worker" in process.cmdline():
                memory.worker.append(process.memory_info().rss)


async def replay_last_answer(home: Path, store: Store) -> str | None:
    """Generate the last answer with a new engine that knows no state; return what differs."""
    with tempfile.TemporaryDirectory(prefix="soak-replay-") as empty:
        paths = Paths(home / "config", home / "data", Path(empty), Path(empty))
        thread = open_store(paths.conversations_file)
        chat = open_chat(thread, load_settings(home / "config" / "config.toml"), paths)
        try:
            replay = await chat.inspecting.replay(last_message(store))
        except EngineFailure as error:
            return str(error)
        finally:
            await chat.close()
    if replay.place is None or (
        replay.before is not None
        and replay.now is not None
        and abs(replay.before.probability - replay.now.probability) < NEAR_TIE
    ):
        return None
    return f"token {replay.place} was {replay.before}, now {replay.now}; {replay.changed}"


def last_message(store: Store) -> Message:
    """The newest message of the conversation that was used last."""
    return store.shown_messages(store.conversations()[0].id)[-1]


def check_answers(store: Store, turns: int) -> Iterator[Figure]:
    """Every question has an answer, no prompt was too long, and titles were written."""
    conversations = store.conversations()
    messages = [m for c in conversations for m in store.all_messages(c.id)]
    cut = sum(conversation.context_start is not None for conversation in conversations)
    titled = sum(not c.title.startswith("T-") for c in conversations)
    answers = [m for m in messages if m.role == "assistant"]
    yield Figure(
        "every message has a complete answer",
        turns,
        tuple(
            f"answer {m.id}: {m.state}, {m.text[:40]!r}"
            for m in answers
            if m.state != "complete" or not m.provenance
        )
        + (() if len(answers) == turns else (f"{len(answers)} answers to {turns} messages",)),
    )
    lengths = [
        int(m.provenance["prompt_tokens"]) + int(m.provenance["completion_tokens"])
        for m in answers
        if m.provenance
    ]
    yield Figure(
        "prompt and answer fit into the context",
        len(lengths),
        tuple(f"{length} tokens of {CONTEXT}" for length in lengths if length > CONTEXT),
        f"at most {max(lengths)} of {CONTEXT} tokens; turns were dropped in "
        f"{cut} of {len(conversations)} conversations, {titled} got a title",
    )


def flat(name: str, rss: list[int]) -> Figure:
    """Whether memory stays within ``MOST_GROWTH`` of what it is after a fifth of the turns."""
    tenth = len(rss) // 10
    early = statistics.median(rss[tenth : 2 * tenth])
    late = statistics.median(rss[-tenth:])
    growth = late / early
    measured = f"{early / 2**20:.0f} MB, then {late / 2**20:.0f} MB"
    return Figure(
        f"memory of the {name} grows by less than {MOST_GROWTH - 1:.0%}",
        len(rss),
        (f"it grew by {growth - 1:.0%}",) if growth > MOST_GROWTH else (),
        measured,
    )
