"""Two clients, four loops of `ask` and an organizer work on one store for five minutes.

Every program that writes keeps a list of what it was promised: questions that were answered, titles
that were set, files that were imported. At the end the store must hold each of them exactly once,
and no program may have shown an error.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from baize_tui.store.conversations import Store
from benchmarks.client_terminal import ClientTerminal, client_processes
from benchmarks.scenarios.figures import Figure, Options

SECONDS = 300.0
CLIENTS, ASK_LOOPS = 2, 4
IMPORTED_CONVERSATIONS = 3
SETTINGS = "[chat]\nmax_tokens = 8\n"
STEPS = ("search", "import", "rename", "delete", "undelete")
"""What the organizer does again and again."""
ENTER, CTRL_N, CTRL_Q, F2, CTRL_S, ESCAPE = b"\r", b"\x0e", b"\x11", b"\x1bOQ", b"\x13", b"\x1b"
FAULTS = ("locked", "could not", "cannot", "not saved", "damaged", "error", "failed", "Traceback")
"""Words of the status line and of stderr that tell of a problem."""


@dataclass
class Ledger:
    """What the programs have confirmed so far; all threads add to it."""

    asked: list[str] = field(default_factory=list)
    """Questions with an answer; each has a text of its own."""
    titles: dict[str, str] = field(default_factory=dict)
    """Conversation ids and the last title each was given."""
    deleted: set[str] = field(default_factory=set)
    """Conversation ids in the trash."""
    deletions: int = 0
    imported: list[str] = field(default_factory=list)
    """Texts of imported questions."""
    finished: list[str] = field(default_factory=list)
    """Conversation ids that no ``ask`` loop uses any more, free for the organizer."""
    searches: int = 0
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def problem(self, text: str) -> None:
        with self.lock:
            self.problems.append(text)


@dataclass(frozen=True, slots=True)
class World:
    """A home folder, the list of promises and the end of the run."""

    home: Path
    ledger: Ledger
    until: float

    @property
    def running(self) -> bool:
        return time.monotonic() < self.until

    def baize_tui(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command; a failure or a complaint of it is a problem."""
        finished = subprocess.run(
            [sys.executable, "-m", "baize_tui", *arguments],
            env={**os.environ, "BAIZE_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        complaint = next((word for word in FAULTS if word in finished.stderr), None)
        if finished.returncode or complaint:
            self.ledger.problem(f"{' '.join(arguments)[:60]}: {finished.stderr.strip()[-200:]}")
        return finished


def run(options: Options) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="shared-store-") as folder:
        home = Path(folder)
        (home / "config").mkdir()
        (home / "config" / "config.toml").write_text(SETTINGS)
        world = World(home, Ledger(), time.monotonic() + max(30.0, options.part(SECONDS)))
        shared, finished = (first_answer(world, name) for name in ("Q-first", "Q-second"))
        world.ledger.finished.append(finished)
        workers: list[Callable[[], None]] = [lambda: organize(world, random.Random(options.seed))]
        for number in range(ASK_LOOPS):
            workers.append(lambda number=number: ask_questions(world, number, shared))  # type: ignore[misc]
        for number in range(CLIENTS):
            workers.append(lambda number=number: use_client(world, number))  # type: ignore[misc]
        threads = [threading.Thread(target=_guarded, args=(world, work)) for work in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield from check(world)


def first_answer(world: World, name: str) -> str:
    """The id of a new conversation with one answer."""
    question = f"{name} is a question."
    session = _session(world.baize_tui("ask", "--json", question))
    assert session is not None, world.ledger.problems
    world.ledger.asked.append(question)
    return session


def _guarded(world: World, work: Callable[[], None]) -> None:
    """A thread that ends with an assertion is a problem of the run, not a silent gap in it."""
    try:
        work()
    except AssertionError as error:
        world.ledger.problem(str(error)[-1500:])


def _session(finished: subprocess.CompletedProcess[str]) -> str | None:
    if finished.returncode:
        return None
    return str(json.loads(finished.stdout)["session_id"])


def ask_questions(world: World, number: int, shared: str) -> None:
    """Ask in new conversations, in its own last one, and in the one that all loops share."""
    chance = random.Random(number)
    mine: str | None = None
    count = 0
    while world.running:
        question = f"Q-ask-{number}-{count} is a question."
        count += 1
        session = chance.choice([None, mine, mine, shared])
        where = () if session is None else ("--session", session)
        if (answered := _session(world.baize_tui("ask", "--json", *where, question))) is None:
            continue
        with world.ledger.lock:
            world.ledger.asked.append(question)
            if session is None:
                if mine is not None:
                    world.ledger.finished.append(mine)
                mine = answered


def use_client(world: World, number: int) -> None:
    """Send messages, open new conversations, rename them and search, in a terminal."""
    chance = random.Random(100 + number)
    terminal = ClientTerminal(world.home)
    count = 0
    try:
        terminal.wait_for(lambda screen: "Ask something" in screen)
        while world.running:
            question = f"Q-client-{number}-{count} is a question."
            count += 1
            _send(terminal, question)
            with world.ledger.lock:
                world.ledger.asked.append(question)
            _do_something_else(terminal, chance, f"Renamed {number} {count}")
            status = terminal.lines[-1]
            if complaint := next((word for word in FAULTS if word in status), None):
                world.ledger.problem(f"client {number} shows {complaint!r}: {status}")
        terminal.type(CTRL_Q)
        _wait_for_end(terminal)
    finally:
        terminal.close()
        for process in client_processes(world.home):
            if process.pid == terminal.child:
                process.kill()


def _send(terminal: ClientTerminal, question: str) -> None:
    """Send a message, and wait until its answer has ended."""
    terminal.type(question.encode() + ENTER)
    name = question.partition(" ")[0]
    terminal.wait_for(lambda screen: _is_answered(screen, name))


def _is_answered(screen: str, name: str) -> bool:
    """Whether the message is in the conversation and the client waits for another one."""
    status = screen.rpartition("\n")[2]
    return f"▌ {name}" in screen and "tokens/s" in status and "answering" not in status


def _do_something_else(terminal: ClientTerminal, chance: random.Random, title: str) -> None:
    """What a person does between two messages."""
    step = chance.choice(["nothing", "new", "rename", "search"])
    if step == "new":
        terminal.type(CTRL_N)
        terminal.wait_for(lambda screen: "▌ Q-" not in screen)
    elif step == "rename":
        terminal.type(F2)
        terminal.wait_for(lambda screen: "Title" in screen)
        terminal.type(b"\x15" + title.encode() + ENTER)
        terminal.wait_for(lambda screen: "Title" not in screen)
    elif step == "search":
        terminal.type(CTRL_S)
        terminal.wait_for(lambda screen: "Search" in screen)
        terminal.type(b"question")
        terminal.read(0.5)
        terminal.type(ESCAPE)
        terminal.wait_for(lambda screen: "Search" not in screen)


def _wait_for_end(terminal: ClientTerminal) -> None:
    end = time.monotonic() + 30.0
    while not terminal.ended()[0]:
        assert time.monotonic() < end, "a client did not quit:\n" + "\n".join(terminal.lines)
        terminal.read(0.05)


def organize(world: World, chance: random.Random) -> None:
    """Rename, delete and restore conversations, search, and import one file twice at once."""
    count = 0
    while world.running or count < len(STEPS):
        count += 1
        with world.ledger.lock:
            free = list(world.ledger.finished)
        step = STEPS[count % len(STEPS)]
        if step == "import":
            _import_twice(world, count)
        elif step == "search":
            world.baize_tui("sessions", "search", "question", "--json")
            world.ledger.searches += 1
        elif step == "rename" and free:
            session = chance.choice(free)
            if session not in world.ledger.deleted:
                world.baize_tui("sessions", "rename", session, f"Title {count}")
                world.ledger.titles[session] = f"Title {count}"
        elif step == "delete" and free:
            session = chance.choice(free)
            if session not in world.ledger.deleted:
                world.baize_tui("sessions", "delete", session)
                world.ledger.deleted.add(session)
                world.ledger.deletions += 1
        elif step == "undelete" and world.ledger.deleted:
            session = chance.choice(sorted(world.ledger.deleted))
            world.baize_tui("sessions", "undelete", session)
            world.ledger.deleted.remove(session)


def _import_twice(world: World, count: int) -> None:
    """Import one file from two processes at the same time: it must be there once."""
    questions = [f"Q-import-{count}-{number} here." for number in range(IMPORTED_CONVERSATIONS)]
    records = [
        {
            "id": f"{count}-{number}",
            "conversations": [
                {"from": "human", "value": question},
                {"from": "gpt", "value": "An imported answer."},
            ],
        }
        for number, question in enumerate(questions)
    ]
    file = world.home / f"import-{count}.json"
    file.write_text(json.dumps(records))
    both = [
        threading.Thread(target=world.baize_tui, args=("sessions", "import", str(file)))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    world.ledger.imported += questions


def check(world: World) -> Iterator[Figure]:
    """Compare the store with the promises."""
    ledger = world.ledger
    file = world.home / "data" / "conversations.db"
    with sqlite3.connect(file) as database:
        integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
    database.close()
    store = Store(file)
    kept, trash = store.conversations(), store.conversations(deleted=True)
    messages = [m for c in kept + trash for m in store.all_messages(c.id)]
    store.close()
    copies = Counter(message.text for message in messages if message.role == "user")
    answered = {message.parent_id for message in messages if message.role == "assistant"}
    ids = {message.text: message.id for message in messages if message.role == "user"}
    programs = CLIENTS + ASK_LOOPS + 1
    yield Figure("no program shows an error", programs, tuple(ledger.problems))
    yield Figure("the store is intact", 1, () if integrity == "ok" else (integrity,))
    yield Figure(
        "each answered question is there once, with its answer",
        len(ledger.asked),
        tuple(
            f"{text}: {copies[text]} times, {'' if ids.get(text) in answered else 'un'}answered"
            for text in ledger.asked
            if copies[text] != 1 or ids[text] not in answered
        ),
    )
    yield Figure(
        "a file that two processes import at once is there once",
        len(ledger.imported),
        tuple(f"{text}: {copies[text]} times" for text in ledger.imported if copies[text] != 1),
    )
    titles = {conversation.id: conversation.title for conversation in kept + trash}
    yield Figure(
        "each conversation has the title it was given last",
        len(ledger.titles),
        tuple(
            f"{session}: {titles.get(session)!r}, not {title!r}"
            for session, title in ledger.titles.items()
            if titles.get(session) != title
        ),
    )
    in_trash = {conversation.id for conversation in trash}
    yield Figure(
        "what was deleted is in the trash, and nothing else",
        ledger.deletions,
        tuple(sorted(in_trash ^ ledger.deleted)),
        f"{ledger.searches} searches meanwhile",
    )
