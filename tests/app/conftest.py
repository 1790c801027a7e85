"""The client with a scripted engine, in a terminal of a given size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from baize_tui.app.client import BaizeApp
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from tests.app.looking import RunApp
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until


@pytest.fixture
def run_app(paths: Paths, tmp_path: Path) -> RunApp:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    @asynccontextmanager
    async def run(
        engine: ScriptedEngine,
        size: tuple[int, int] = (100, 30),
        settings: Settings | None = None,
        **options: object,
    ) -> AsyncIterator[Pilot[int]]:
        chat = Chat(
            open_store(paths.conversations_file),
            engine,
            settings or Settings(),
            paths.cache,
            ScriptedCatalog(lambda name: model(str(file), name or "scripted")),
        )
        app = BaizeApp(chat, paths, **options)  # type: ignore[arg-type]
        async with app.run_test(size=size) as pilot:
            await wait_until(
                lambda: chat.active_model.loaded is not None or engine.load_failure is not None,
                "the load",
            )
            await pilot.pause()
            yield pilot
            if not engine.closed:
                await app.action_quit()

    return run
