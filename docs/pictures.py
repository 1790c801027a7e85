"""Draw the pictures of the README and the pages with the real client and the real model::

    python docs/pictures.py [NAME]...

Two conversations are written in this file: one with code and a table, one in Chinese. All other
answers come from the model.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from textual.pilot import Pilot

from baize_tui.app.app import BaizeApp
from baize_tui.app.conversation.screen import ConversationScreen
from baize_tui.catalog.recipes import CatalogModel, NoModelInstalled
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import StoreThread
from baize_tui.cli.open_chat import LocalCatalog
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import ChatSettings, LookSettings, Settings
from baize_tui.store.conversations import Store

FOLDER = Path(__file__).resolve().parent
PATIENCE_S = 120.0
QUESTIONS = ("What is photosynthesis?", "What is the capital of France?")
CODE_AND_TABLE = (
    "Three ways to add up numbers in Python?",
    """All three give **6**:

```python
numbers = [1, 2, 3]
total = sum(numbers)

total = 0
for number in numbers:
    total += number
```

| way | lines | when |
|:--|--:|:--|
| `sum` | 1 | nearly always |
| a loop | 3 | to do more on the way |
| `functools.reduce` | 2 | to show off |

> `math.fsum` keeps more digits of floats.
""",
)
CHINESE = (
    "白泽是什么？",
    """**白泽**是中国古代神话中的瑞兽，能说人语，通万物之情。 🐉

1. 黄帝东巡，于海滨得之；
2. 它知天下一万一千五百二十种鬼怪。

| 词 | 拼音 | meaning |
|---|---|---|
| 白 | bái | white |
| 泽 | zé | marsh; kindness |
""",
)


@dataclass
class Picture:
    """What to do before the client is drawn, and its size, theme and content."""

    prepare: Callable[[Pilot[int]], Awaitable[None]]
    size: tuple[int, int] = (100, 30)
    theme: str = "baize-dark"
    conversations: tuple[tuple[str, str], ...] = field(default=())
    model: str | None = None


def screen(pilot: Pilot[int]) -> ConversationScreen:
    assert isinstance(pilot.app, BaizeApp)
    return pilot.app.conversation_screen


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the client did not get that far"
        await asyncio.sleep(0.05)


async def ask(pilot: Pilot[int], question: str) -> None:
    here = screen(pilot)
    here.prompt.insert(question)
    await pilot.press("enter")
    await until(lambda: here.answers.in_progress)
    await until(lambda: not here.answers.in_progress and "tokens/s" in here.status.text)


async def ask_questions(pilot: Pilot[int]) -> None:
    await ask(pilot, QUESTIONS[0])
    await pilot.press("ctrl+n")
    await ask(pilot, QUESTIONS[1])
    await ask(pilot, "Write a Python function that adds two numbers, with an example.")


async def open_conversation(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+b", "enter")
    await until(lambda: screen(pilot).transcript.turns)


async def show_prefill(pilot: Pilot[int]) -> None:
    here = screen(pilot)
    question = "Sum this up: " + "the quick brown fox jumps over the lazy dog. " * 250
    here.prompt.change_text(question)
    await pilot.press("enter")
    await until(lambda: " left" in here.status.text)


async def show_branches(pilot: Pilot[int]) -> None:
    here = screen(pilot)
    await ask(pilot, "What makes a good cup of tea?")
    for _ in range(2):
        await pilot.press("ctrl+r")
        await until(lambda: not here.answers.in_progress)
        await pilot.pause()
    await until(lambda: here.transcript.turns[-1].branch == (3, 3))
    await pilot.press("alt+left", "alt+g")
    await until(lambda: here.transcript.turns[-1].message.mark == "good")


def open_and_press(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def prepare(pilot: Pilot[int]) -> None:
        await open_conversation(pilot)
        await pilot.press(*keys)
        await pilot.pause(0.5)

    return prepare


async def show_models(pilot: Pilot[int]) -> None:
    await open_conversation(pilot)
    await pilot.press("alt+m")
    assert isinstance(pilot.app, BaizeApp)
    plans = pilot.app.state.plans
    await until(lambda: plans)
    await pilot.press("down", "down", "down", "down")


async def wait(pilot: Pilot[int]) -> None:
    await pilot.pause(0.5)


PICTURES = {
    "client": Picture(ask_questions),
    "client-light": Picture(ask_questions, theme="baize-light"),
    "client-80x24": Picture(ask_questions, size=(80, 24)),
    "code-and-table": Picture(open_conversation, conversations=(CODE_AND_TABLE,)),
    "chinese": Picture(open_conversation, size=(100, 24), conversations=(CHINESE,)),
    "prefill": Picture(show_prefill, size=(100, 24)),
    "branches": Picture(show_branches, size=(100, 24)),
    "settings": Picture(open_and_press("f4"), conversations=(CODE_AND_TABLE,)),
    "palette": Picture(open_and_press("ctrl+p", *"answer"), conversations=(CODE_AND_TABLE,)),
    "help": Picture(open_and_press("f1"), size=(100, 40), conversations=(CODE_AND_TABLE,)),
    "models": Picture(show_models, size=(100, 30), conversations=(CODE_AND_TABLE,)),
    "first-run": Picture(wait, size=(100, 24), model="none"),
}


class PicturedCatalog(LocalCatalog):
    """The models of this machine, and none under the name ``none``."""

    def find_model(self, name: str | None) -> CatalogModel:
        if name == "none":
            raise NoModelInstalled
        return super().find_model(name)


def fill_store(paths: Paths, conversations: tuple[tuple[str, str], ...]) -> Store:
    store = Store(paths.conversations_file)
    for question, answer in conversations:
        conversation = store.new_conversation(
            system="You are a helpful AI assistant.", moderation=False, title=question
        )
        asked = store.add_message(conversation.id, None, "user", question)
        store.add_message(conversation.id, asked.id, "assistant", answer)
    return store


async def draw(name: str, picture: Picture) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"BAIZE_HOME": home, "COLORTERM": "truecolor"}
        paths = project_paths()

        settings = Settings(
            sampling={"seed": 3, "temperature": 0.6 if name == "branches" else 0.0},
            look=LookSettings(theme=picture.theme),
            chat=ChatSettings(moderation=name != "branches"),
        )
        if name == "branches":
            settings.sampling.pop("seed")
        store = fill_store(paths, picture.conversations)
        catalog = PicturedCatalog(paths)
        chat = Chat(StoreThread(store), WorkerEngine(paths), settings, paths.cache, catalog)
        shown = Paths(Path("~/.config/baize-tui"), paths.data, paths.cache, paths.logs)
        app = BaizeApp(chat, shown, model=picture.model)
        async with app.run_test(size=picture.size) as pilot:
            await until(app.state.load_ended.is_set)
            await picture.prepare(pilot)
            await pilot.pause(0.5)
            svg = app.export_screenshot(title="baize-tui")
            await app.action_quit()
    # A picture must not load fonts from the network when it is displayed.
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(FOLDER / f"{name}.svg")


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        asyncio.run(draw(name, PICTURES[name]))


if __name__ == "__main__":
    main()
