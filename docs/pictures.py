"""Make the pictures of the README from the real client on the real model::

python docs/pictures.py
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.app.client import BaizeApp
from baize_tui.app.prompt import Prompt
from baize_tui.app.status_line import StatusLine
from baize_tui.catalog.recipes import find_model
from baize_tui.chat.turns import Chat
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import project_paths
from baize_tui.settings import LookSettings, Settings
from baize_tui.store.conversations import Store

FOLDER = Path(__file__).resolve().parent
TALKS = (
    ("Give me three tips for a good night's sleep",),
    ("What is photosynthesis?",),
    (
        "What is the capital of France?",
        "Write a Python function that adds two numbers, with an example.",
    ),
)
SIZES = {"client": (100, 30), "client-80x24": (80, 24)}


async def _ask(app: BaizeApp, question: str) -> None:
    status = app.query_one(StatusLine)
    app.query_one(Prompt).insert(question)
    await app._press_keys(["enter"])
    await asyncio.sleep(0.2)
    while "tokens/s" not in status.text:  # noqa: ASYNC110 - the status line tells the end
        await asyncio.sleep(0.1)


async def picture(name: str, size: tuple[int, int], theme: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["BAIZE_HOME"] = home
        paths = project_paths()
        settings = Settings(
            sampling={"seed": 3, "temperature": 0.0}, look=LookSettings(theme=theme)
        )
        chat = Chat(
            Store(paths.conversations_file),
            WorkerEngine(paths.worker_log),
            settings,
            paths.cache,
            lambda name: find_model(name, paths),
        )
        app = BaizeApp(chat, paths)
        async with app.run_test(size=size) as pilot:
            for questions in TALKS:
                app.conversation_screen.action_new()
                for question in questions:
                    await _ask(app, question)
            await pilot.pause(0.5)
            svg = app.export_screenshot(title="baize-tui")
            await app.action_quit()
    # A picture must not fetch anything when it is looked at.
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(FOLDER / f"{name}.svg")


def main() -> None:
    for name, size in SIZES.items():
        asyncio.run(picture(name, size, "baize-dark"))
    asyncio.run(picture("client-light", (100, 30), "baize-light"))


if __name__ == "__main__":
    main()
