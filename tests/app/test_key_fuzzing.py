"""Random keys and clicks on every screen: the client never fails, always answers, loses nothing.

A failure prints the last input. To replay it, add it to ``ONCE_FAILED``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from baize_tui.app.app import BaizeApp
from baize_tui.catalog.plans import ModelPlan
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store
from baize_tui.store.database import Database
from baize_tui.store.errors import StoreFull
from baize_tui.store.records import MessageRole
from tests.app.key_fuzzer import SIZES, RandomInput, count_keys, is_running, send, settle
from tests.app.model_list import plan_of
from tests.app.pilot import ScriptedPulls, client, screen
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import PATIENCE_S, wait_until
from tests.sweeps import swept

KEYS = 20_000
"""Keys that all cases press together."""
OTHER_SEED = os.environ.get("BAIZE_FUZZ_SEED", "")
"""A part of the seeds, to hunt with other input than in every other run."""
STAY = 40
"""Bursts until the screen of a case is opened again."""
SHOWN = 60
"""Inputs that a failure prints."""
ANSWER = (
    "Two **regular** ways:\n\n",
    *(
        "1. Add `them`.\n",
        "2. 白泽 🐉 say\n\n",
        "```python\n",
        "def add(a, b):\n",
        "    return a\n",
    ),
    *("```\n\n", "| way | cells |\n", "|:--|--:|\n", "| one | 1 |\n\n", "> quoted\n", "\n"),
) * 12
STORED = {
    "Bread": ["How is bread made?", "Flour, water, salt.", "And yeast?", "That too. " * 90],
    "白泽": ["白泽是什么？", "白泽是中国古代神话中的瑞兽 🐉", "\n".join("line" for _ in range(80))],
    "Code": ["Write code", "```python\nprint(1)\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |"],
}
"""Conversations that are there already, with their messages."""

Reach = tuple[str, ...]
PLACES: dict[str, Reach] = {
    "conversation": (),
    "answering": ("a", "enter", "b", "enter"),
    "loading": ("a", "enter"),
    "no model": ("a", "enter"),
    "list": ("ctrl+b",),
    "palette": ("ctrl+p",),
    "help": ("f1",),
    "models": ("alt+m",),
    "import": ("alt+m", "f6"),
    "settings": ("f4",),
    "options": ("f3",),
    "side by side": ("alt+v", "enter", "a", "enter"),
    "picker": ("alt+y",),
    "rename": ("f2",),
    "export": ("a", "enter", "alt+o"),
    "import chats": ("f12",),
    "branch map": ("a", "enter", "alt+shift+b"),
    "organize": ("a", "enter", "alt+shift+t"),
    "tags": ("a", "enter", "alt+shift+t", "t", "a", "g", "s", "enter"),
    "trash": ("ctrl+b", "delete", "delete", "alt+shift+t", "t", "r", "enter"),
    "archive": ("a", "enter", "alt+shift+t", "a", "enter", "ctrl+n", "alt+shift+t", "enter"),
    "files": ("at",),
    "tokens": ("a", "enter", "slash", *"tokens", "enter"),
    "prompt": ("a", "enter", "slash", *"inspect", "enter"),
    "form": ("slash", *"json", "enter"),
    "persona": ("slash", *"persona", "enter"),
    "variables": ("slash", *"prompts", "space", *"explain", "enter"),
}
"""Screens and states, with the keys that lead there from the conversation."""
CASES = [(place, size) for place in PLACES for size in SIZES]
KEYS_OF_A_CASE = KEYS // len(CASES) + 1
FAILING_PLACES = ("conversation", "answering", "list", "options", "side by side")
ALWAYS = (("answering", SIZES[0]),)

ONCE_FAILED = [
    "ctrl+p pageup",
    "ctrl+p down",
    "ctrl+p escape enter",
    "f4 | enter pageup",  # in the list of a choice
    "f1 | click:1,1 click:1,1 click:1,1",  # beside the panel: each click closes it
    "alt+y | enter enter escape",
    "a enter | click:40,12 ctrl+n",  # the turn that was clicked is gone
    "ctrl+c | click:70,21 click:70,21 click:70,21",  # a notification, which the click removes
    "ctrl+p | click:71,13 click:71,13 click:71,13 click:71,13",
    "alt+s | mousedown:48,15 move:28,20 click:48,15 click:48,15",
    "alt+v | enter | a | enter escape",  # an answer goes on after its columns are gone
]
"""Input after which the client failed: what is between two bars comes at once."""


# --- what may be written -------------------------------------------------------------------------


class Writes:
    """The files that this process opens to write, makes, moves or removes, outside ``folder``."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths: Sequence[object] = [path]
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "sqlite3.connect"):
            paths = arguments[:1]
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = arguments[:2]
        else:
            return
        self.outside += [f"{event} {path}" for path in paths if self._is_outside(path)]

    def _is_outside(self, path: object) -> bool:
        if self.folder is None or not isinstance(path, str | bytes | os.PathLike):
            return False
        file = Path(os.fsdecode(path).removeprefix("file:")).resolve()
        return not any(file.is_relative_to(allowed) for allowed in (self.folder, "/dev", "/proc"))


WRITES = Writes()


@contextmanager
def writing_only_to(folder: Path) -> Iterator[None]:
    """Fail if a file outside ``folder`` is written."""
    WRITES.folder, WRITES.outside = folder.resolve(), []
    try:
        yield
    finally:
        WRITES.folder = None
    assert WRITES.outside == []


# --- the client ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def closed_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pulls: ScriptedPulls
) -> ScriptedPulls:
    """No process is started, no network used, and the person's home folder is empty."""
    for folder in ("person", "here"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.chdir(tmp_path / "here")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    # Random keys can name any file of this machine.
    monkeypatch.setattr("baize_tui.chat.export_files.write_atomically", lambda *_: None)
    monkeypatch.setattr("baize_tui.chat.export_files.private_folder", lambda folder: folder)

    async def plan_models(
        models: Sequence[CatalogModel], paths: Paths, settings: object
    ) -> AsyncGenerator[ModelPlan, None]:
        for each in models:
            yield plan_of(each.name, installed=each.installed)

    monkeypatch.setattr("baize_tui.app.services.model_plans.plan_models", plan_models)
    return pulls


class Client:
    """The client with a scripted engine, from start to start with the same store."""

    def __init__(self, place: str, paths: Paths, file: Path) -> None:
        self.place, self._paths, self._file = place, paths, file
        self.engine = ScriptedEngine()
        store = Store(paths.conversations_file)
        for title, messages in STORED.items():
            conversation = store.new_conversation(system="", moderation=False, title=title)
            parent: int | None = None
            for number, text in enumerate(messages):
                role: MessageRole = "assistant" if number % 2 else "user"
                parent = store.add_message(conversation.id, parent, role, text).id
        store.close()

    def start(self) -> BaizeApp:
        vocabulary = self.engine.pieces
        self.engine = ScriptedEngine(*ANSWER, n_ctx=100_000)
        self.engine.pieces = vocabulary  # an answer that the client before has begun may go on
        if self.place == "loading":
            self.engine.loaded_to = 0.5
        chat = Chat(
            open_store(self._paths.conversations_file),
            self.engine,
            Settings(),
            self._paths.cache,
            ScriptedCatalog(self._find_model),
        )
        return BaizeApp(chat, self._paths)

    def _find_model(self, name: str | None) -> CatalogModel:
        if self.place == "no model":
            raise CatalogError("no model is installed. Import one with …")
        return model(str(self._file), name or "scripted")


class StoreFaults:
    """While ``active``, every eighth access to the store fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: str) -> None:
        self.active = False
        self.failed = 0
        self._random = random.Random(seed)
        rows, transaction = Database.rows, Database.transaction

        def failing_rows(database: Database, query: str, *values: object) -> list[sqlite3.Row]:
            self._fail()
            return rows(database, query, *values)

        @contextmanager
        def failing_transaction(database: Database) -> Iterator[sqlite3.Connection]:
            self._fail()
            with transaction(database) as connection:
                yield connection

        monkeypatch.setattr(Database, "rows", failing_rows)
        monkeypatch.setattr(Database, "transaction", failing_transaction)

    def _fail(self) -> None:
        if self.active and self._random.random() < 1 / 8:
            self.failed += 1
            raise StoreFull("no space left on the disk")


class StoredWords:
    """The messages in the store: none is ever lost, and what was written stays as it is."""

    def __init__(self, paths: Paths) -> None:
        self._file = paths.conversations_file
        self._known: dict[int, str] = {}
        self.check()
        assert set(self._known.values()) >= {text for texts in STORED.values() for text in texts}

    def check(self) -> None:
        connection = sqlite3.connect(self._file)
        now = dict(connection.execute("SELECT id, text FROM message").fetchall())
        connection.close()
        for id, text in self._known.items():
            assert now.get(id, "").startswith(text), f"message {id} was changed"
        self._known = now


# --- the cases -----------------------------------------------------------------------------------


def hashing() -> bool:
    """Whether a model file is still hashed for a client that has ended."""
    return any(thread.name == "model hash" for thread in threading.enumerate())


class Fuzzer:
    """Presses ``keys`` random keys, in as many runs of the client as it takes."""

    def __init__(
        self,
        case: str,
        keys: int,
        running: Client,
        words: StoredWords,
        faults: StoreFaults | None = None,
    ) -> None:
        self.case, self.keys = case, keys
        self._faults = faults
        self._limit: asyncio.Timeout | None = None
        """When the client has to have handled the last input."""
        self.client, self.words = running, words
        self.input = RandomInput(case)
        self.sent: list[str] = []

    async def run(self, size: tuple[int, int]) -> None:
        while self.keys > 0:
            app = self.client.start()
            try:
                async with (
                    asyncio.timeout(PATIENCE_S) as self._limit,  # also where it does not end
                    app.run_test(size=size, notifications=True) as pilot,
                ):
                    self._set_faults(active=True)
                    try:
                        await self._use(pilot, size)
                    finally:
                        self._set_faults(active=False)
            except Exception as error:
                raise AssertionError(self._report()) from error
            assert app.return_code == 0, self._report()
            assert self.client.engine.closed, self._report()
            self.words.check()
        await wait_until(lambda: not hashing(), "the hashes, which are written to the home")

    def _set_faults(self, *, active: bool) -> None:
        if self._faults is not None:
            self._faults.active = active

    def _report(self) -> str:
        return f"seed {self.case!r}, after: {' '.join(self.sent[-SHOWN:])}"

    async def _send(self, pilot: Pilot[int], written: Sequence[str]) -> None:
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + PATIENCE_S)
        self.sent += written
        self.keys -= count_keys(written)
        await send(pilot, written)

    async def _use(self, pilot: Pilot[int], size: tuple[int, int]) -> None:
        bursts = 0
        await settle(pilot)
        while is_running(pilot) and self.keys > 0:
            if bursts % STAY == 0:
                await self._go_to_place(pilot, size)
                self.words.check()
            bursts += 1
            await self._send(pilot, self.input.burst(pilot.app))
            # Seldom not at once, so that input meets screens that open and close.
            if self.input.random.random() < 0.7:
                await settle(pilot)
        if is_running(pilot):
            self.client.engine.go_on.set()
            await self._quit(pilot, size)

    async def _go_to_place(self, pilot: Pilot[int], size: tuple[int, int]) -> None:
        await self._go_back(pilot, size)
        for key in PLACES[self.client.place]:
            await self._send(pilot, [key])
            await settle(pilot)

    async def _go_back(self, pilot: Pilot[int], size: tuple[int, int]) -> None:
        """Leave all screens with Esc, which must always be possible."""
        await self._send(pilot, [f"resize:{size[0]},{size[1]}", "focus"])
        for _ in range(20):
            await settle(pilot)
            if not is_running(pilot):
                return
            if pilot.app.screen is screen(pilot) and screen(pilot).prompt.has_focus:
                break
            await self._send(pilot, ["escape"])
        assert pilot.app.screen is screen(pilot), "Esc leads back to the conversation"

    async def _quit(self, pilot: Pilot[int], size: tuple[int, int]) -> None:
        """The client still answers to keys, and ends when it is told to."""
        self._set_faults(active=False)
        await self._go_back(pilot, size)
        await self._send(pilot, ["ctrl+n", *"alive"])
        await wait_until(lambda: "alive" in screen(pilot).prompt.text, "typing")
        await self._send(pilot, ["ctrl+q"])
        await wait_until(lambda: not is_running(pilot), "the end")


@pytest.mark.parametrize(
    ("place", "size"),
    swept(CASES, *ALWAYS),
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
async def test_random_keys(
    place: str, size: tuple[int, int], paths: Paths, tmp_path: Path, closed_world: ScriptedPulls
) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    running = Client(place, paths, file)
    case = f"{place} {size[0]}x{size[1]}{OTHER_SEED}"
    fuzzer = Fuzzer(case, KEYS_OF_A_CASE, running, StoredWords(paths))
    with writing_only_to(tmp_path / "home"):
        await fuzzer.run(size)


@pytest.mark.parametrize("place", swept(FAILING_PLACES, "conversation"))
async def test_random_keys_while_the_store_fails_now_and_then(
    place: str,
    paths: Paths,
    tmp_path: Path,
    closed_world: ScriptedPulls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    case = f"failing {place}{OTHER_SEED}"
    running, words = Client(place, paths, file), StoredWords(paths)
    faults = StoreFaults(monkeypatch, case)
    await Fuzzer(case, KEYS_OF_A_CASE, running, words, faults).run((80, 24))
    assert faults.failed


@pytest.mark.parametrize("written", ONCE_FAILED)
async def test_input_that_once_failed(written: str, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    app = Client("conversation", paths, file).start()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        for at_once in written.split("|"):
            await send(pilot, at_once.split())
            await settle(pilot)
        assert is_running(pilot)
        await client(pilot).action_quit()
