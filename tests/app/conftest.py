"""The client with a scripted engine, in a terminal of a given size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import textual._wait
from textual.pilot import Pilot

from baize_tui.app.app import BaizeApp
from baize_tui.catalog.adapters import AdapterRecipe, write_adapter_recipe
from baize_tui.catalog.pull_records import PullRecord, write_record
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from tests.app.pilot import RunApp, ScriptedPulls
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until

# After each key, Textual 8.2.8 sleeps at least twice this long, which is 20 ms: more than all else
# that a test does. Tests wait for what they expect.
textual._wait.SLEEP_GRANULARITY = 0.004


@pytest.fixture
def run_app(paths: Paths, tmp_path: Path) -> RunApp:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    @asynccontextmanager
    async def run(
        engine: ScriptedEngine,
        size: tuple[int, int] = (100, 30),
        settings: Settings | None = None,
        notifications: bool = False,
        find_model: Callable[[str | None], CatalogModel] | None = None,
        **options: object,
    ) -> AsyncIterator[Pilot[int]]:
        chat = Chat(
            open_store(paths.conversations_file),
            engine,
            settings or Settings(),
            paths.cache,
            ScriptedCatalog(find_model or (lambda name: model(str(file), name or "scripted"))),
        )
        app = BaizeApp(chat, paths, **options)  # type: ignore[arg-type]
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await wait_until(
                lambda: (
                    chat.active_model.loaded is not None
                    or engine.load_failure is not None
                    or app.state.problem
                ),
                "the load",
            )
            await pilot.pause()
            yield pilot
            if not engine.closed:
                await app.action_quit()

    return run


@pytest.fixture
def plum(paths: Paths, tmp_path: Path) -> str:
    """An adapter for any model."""
    file = tmp_path / "plum.gguf"
    file.write_bytes(b"weights")
    write_adapter_recipe("plum", AdapterRecipe(file=str(file)), paths)
    return "plum"


@pytest.fixture
def pulls(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> ScriptedPulls:
    """Pulls that do what the test sets."""
    script = ScriptedPulls()

    async def pull_in_process(name: str, report: Callable[[int, int], object]) -> Path:
        try:
            report(1, 4)
            await script.go_on.wait()
        finally:
            script.ended = True
        if script.failure:
            raise CatalogError(script.failure)
        file = paths.models_folder / f"{name}.gguf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")
        write_record(name, PullRecord(str(file), 7, "hf:a/b", {}, 0.0), paths)
        return file

    monkeypatch.setattr("baize_tui.app.services.background_pulls.pull_in_process", pull_in_process)
    return script
