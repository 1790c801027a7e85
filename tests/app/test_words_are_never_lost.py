"""Random use of the prompt: no word and no paste is lost, and what is sent is what was written."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets.text_area import Location, WrappedDocument

from baize_tui.app.actions import ACTIONS
from baize_tui.app.widgets.pastes import runs_in
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Unsent, parts_text
from tests.app.pilot import RunApp, screen, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.sweeps import swept

# --- the prompt alone, against a model of it ------------------------------------------------------

Atoms = list[str]
"""A document as its characters, with a paste as one of them."""
KEYS = ["left", "right", "up", "down", "home", "end", "ctrl+left", "ctrl+right"]
SELECTING = ["shift+left", "shift+right", "shift+up", "shift+down", "shift+home", "f6", "f7"]
DELETING = ["ctrl+w", "ctrl+u", "ctrl+k", "ctrl+shift+k", "ctrl+x", "alt+delete"]
UNDOING = ["ctrl+underscore", "ctrl+y"]


class Host(App[None]):
    CSS = "Prompt { width: 30; height: 6; border: none; padding: 0; }"

    def compose(self) -> ComposeResult:
        yield Prompt(ACTIONS)


def atoms(document: str) -> Atoms:
    found: Atoms = []
    end = 0
    for run in runs_in(document):
        found += [*document[end : run.start], f"paste {run.number}"]
        end = run.end
    return [*found, *document[end:]]


class Watched:
    """A prompt with the states that it had."""

    def __init__(self, pilot: Pilot[None], seed: int) -> None:
        self.pilot = pilot
        self.prompt = pilot.app.query_one(Prompt)
        self.random = random.Random(seed)
        self.seen: list[Atoms] = [[]]

    def place(self, location: Location) -> int:
        return len(atoms(self.prompt.document.get_text_range((0, 0), location)))

    async def step(self) -> None:
        before = atoms(self.prompt.text)
        start, end = sorted(map(self.place, self.prompt.selection))
        kind = self.random.choice(["type", "type", "paste", "remove", "move", "select", *"du"])
        key = await self._act(kind)
        after = atoms(self.prompt.text)
        if kind in ("type", "paste"):
            assert after == [*before[:start], *after[start : start + 1], *before[end:]], key
            assert after[start : start + 1], key
        elif key == "backspace" and start == end:
            assert after == [*before[: max(start - 1, 0)], *before[start:]]
        elif key == "delete" and start == end:
            assert after == [*before[:start], *before[start + 1 :]]
        elif key == "left" and start == end:
            assert self.place(self.prompt.cursor_location) == max(start - 1, 0)
        elif key == "right" and start == end:
            assert self.place(self.prompt.cursor_location) == min(start + 1, len(before))
        elif kind == "u":
            assert after in self.seen, key
        elif kind in ("move", "select"):
            assert after == before, key
        self.seen.append(after)
        self.check()

    async def _act(self, kind: str) -> str:
        choose = self.random.choice
        match kind:
            case "paste":
                text = f"{choose('abc')}\n" * self.random.randrange(20, 40)
                self.pilot.app.post_message(events.Paste(text))
                await self.pilot.pause()
                return "a paste"
            case "type":
                key = choose(["a", "b", "space", "白", "🐉", "ctrl+j"])
            case "remove":
                key = choose(["backspace", "delete"])
            case _:
                keys = {"move": KEYS, "select": SELECTING, "d": DELETING, "u": UNDOING}
                key = choose(keys[kind])
        character = key if len(key) == 1 else " " if key == "space" else None
        self.pilot.app.post_message(events.Key(key, character))
        await self.pilot.pause()
        return key

    def check(self) -> None:
        prompt = self.prompt
        assert prompt._pastes.encode(prompt.parts) == prompt.text
        assert not re.search("[\ufdd0-\ufdef]", prompt.shown_text)
        fresh = WrappedDocument(prompt.document)
        fresh.wrap(prompt.wrap_width, prompt.indent_width)
        assert fresh.lines == prompt.wrapped_document.lines
        for line in range(prompt.size.height):
            assert not re.search("[\ufdd0-\ufdef]", prompt.render_line(line).text)


@pytest.mark.parametrize("seed", swept(range(20), 0))
async def test_the_prompt_does_what_its_model_does(seed: int) -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        watched = Watched(pilot, seed)
        for _ in range(300):
            await watched.step()


# --- the whole client: every word is somewhere ----------------------------------------------------


class Person:
    """Somebody who writes words and never deletes one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words: list[str] = []
        self.engine = ScriptedEngine("One ", "two.", n_ctx=1_000_000)

    def new_word(self) -> str:
        self.words.append(f"w{len(self.words)}w")
        return self.words[-1]

    async def use(self, pilot: Pilot[int], steps: int) -> None:
        deeds: list[Callable[[Pilot[int]], Awaitable[None]]] = [
            self.write,
            self.write,
            self.write,
            self.paste,
            self.send,
            self.send,
            self.pause,
            self.go_on,
            self.open_another,
            self.remove_and_restore,
            self.undo_and_redo,
            self.press_a_key,
            self.press_a_key,
            self.press_a_key,
        ]
        for _ in range(steps):
            await self.random.choice(deeds)(pilot)
            await pilot.pause()

    async def write(self, pilot: Pilot[int]) -> None:
        await pilot.press(*self.new_word(), "space")

    async def paste(self, pilot: Pilot[int]) -> None:
        pilot.app.post_message(events.Paste(f"{self.new_word()}\n" * 25))
        await pilot.pause()

    async def send(self, pilot: Pilot[int]) -> None:
        await pilot.press("enter")

    async def pause(self, _: Pilot[int]) -> None:
        self.engine.go_on = asyncio.Event()
        self.engine.pause_at = 1

    async def go_on(self, _: Pilot[int]) -> None:
        self.engine.pause_at = None
        self.engine.go_on.set()

    async def open_another(self, pilot: Pilot[int]) -> None:
        if titles(pilot):
            downs = ["down"] * self.random.randrange(len(titles(pilot)))
            await pilot.press("ctrl+b", "home", *downs, "enter")

    async def remove_and_restore(self, pilot: Pilot[int]) -> None:
        if screen(pilot).queue_lines.display:
            await pilot.press("alt+x", "alt+z")

    async def undo_and_redo(self, pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+underscore", "ctrl+y")

    async def press_a_key(self, pilot: Pilot[int]) -> None:
        keys = ["escape", "ctrl+n", "alt+e", "ctrl+up", "ctrl+down", "up", "alt+q", "ctrl+r"]
        keys += ["ctrl+g", "alt+left", "alt+right", "alt+up", "ctrl+t", "home", "end", "left"]
        await pilot.press(self.random.choice(keys))


@pytest.mark.parametrize("seed", swept(range(30), 0))
async def test_every_word_is_somewhere(seed: int, run_app: RunApp, paths: Paths) -> None:
    person = Person(seed)
    for _ in range(3):
        person.engine = ScriptedEngine("One ", "two.", n_ctx=1_000_000)
        async with run_app(person.engine) as pilot:
            await person.use(pilot, 40)
            person.engine.go_on.set()
        kept = everything(paths)
        assert [word for word in person.words if word not in kept] == []


def everything(paths: Paths) -> str:
    """All messages and all unsent words in the store."""
    store = Store(paths.conversations_file)
    ids = [None, *(conversation.id for conversation in store.conversations())]
    unsent: list[Unsent] = [u for id in ids for u in store.unsent.take_over(id)]
    messages = store.database.rows("SELECT text FROM message")
    store.close()
    return "\n".join([*(row["text"] for row in messages), *(parts_text(u.parts) for u in unsent)])
