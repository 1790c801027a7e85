"""What the person sees of a model on a server: always where the words go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.widgets import Static

from baize_tui.app.screens.models import ModelsScreen
from baize_tui.app.widgets.status_line import StatusLine
from baize_tui.catalog.finding import find_model, model_on_server
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.engine.protocol import LoadedModel
from baize_tui.paths import Paths
from tests.app.pilot import RunApp, ask, catalog, is_open, notices, screen, shown, status
from tests.chat.scripted_engine import ScriptedEngine, model
from tests.conftest import wait_until

CLUSTER = "server:https://cluster.example.org/v1#qwen3"
HERE = "server:http://localhost:8080/v1#qwen3"


def place(pilot: object) -> str:
    """What the status line says about another computer."""
    line = screen(pilot).query_one("#status-place", Static)  # type: ignore[arg-type]
    return str(line.render()) if line.display else ""


def on_server(spec: str) -> dict[str, object]:
    return {"find_model": lambda _name: model_on_server(spec)}


@pytest.mark.parametrize("columns", [40, 60, 80, 140])
async def test_the_status_line_always_says_that_words_leave(columns: int, run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine, size=(columns, 24), **on_server(CLUSTER)) as pilot:
        assert place(pilot) == "at cluster.example.org"
        screen(pilot).query_one(StatusLine).show("a note " * 30)
        assert place(pilot) == "at cluster.example.org"
        await pilot.press("H", "i", "enter")
        await wait_until(engine.paused.is_set, "half the answer")
        assert place(pilot) == "at cluster.example.org"
        engine.go_on.set()
        await wait_until(lambda: "answering" not in status(pilot), "the end")
        assert place(pilot) == "at cluster.example.org"


async def test_the_welcome_says_where_words_go(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), **on_server(CLUSTER)) as pilot:
        leaves = "What you write leaves this computer: it goes to cluster.example.org."
        assert leaves in " ".join(shown(pilot).split())
        assert "stays on this computer" not in shown(pilot)
    async with run_app(ScriptedEngine(), **on_server(HERE)) as pilot:
        text = " ".join(shown(pilot).split())
        assert "goes to the server at localhost:8080, on this computer." in text
        assert place(pilot) == ""
        assert "qwen3 at localhost:8080" in status(pilot)
    async with run_app(ScriptedEngine()) as pilot:
        assert "Everything stays on this computer." in shown(pilot)
        assert place(pilot) == ""


async def test_the_first_message_to_another_computer_says_so(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine, notifications=True, **on_server(CLUSTER)) as pilot:
        await ask(pilot, "Hi", "One.")
        line = "your words leave this computer: they go to cluster.example.org"
        await wait_until(lambda: line in notices(pilot), "the line")


async def test_a_server_is_typed_into_the_list_of_models(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    local = model(str(tmp_path / "scripted.gguf"))

    def find(name: str | None) -> CatalogModel:
        return find_model(name, paths) if name is not None and "server:" in name else local

    async with run_app(ScriptedEngine("One."), find_model=find) as pilot:
        await ask(pilot, "Hi", "One.")
        assert place(pilot) == ""
        await pilot.press("alt+m")
        await wait_until(lambda: is_open(pilot, ModelsScreen), "the list")
        await pilot.press(*"server:nonsense", "enter")
        notice = pilot.app.screen.query_one("#notice", Static)
        await wait_until(lambda: "not the URL of a server" in str(notice.render()), "the reason")
        for _ in "nonsense":
            await pilot.press("backspace")
        await pilot.press(*CLUSTER.removeprefix("server:"), "enter")
        await wait_until(lambda: place(pilot) == "at cluster.example.org", "the place")
        await ask(pilot, "And you?", "One.")
        conversation = screen(pilot).view.conversation
        assert conversation is not None
        assert (conversation.model, conversation.model_path) == ("qwen3", CLUSTER)
        assert catalog(pilot) is not None


async def test_the_only_model_of_a_server_gets_its_name(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    class Naming(ScriptedEngine):
        async def load(self, *arguments: Any) -> LoadedModel:
            loaded = await super().load(*arguments)
            return msgspec.structs.replace(loaded, path=f"{loaded.path.partition('#')[0]}#qwen3")

    local = model(str(tmp_path / "scripted.gguf"))

    def find(name: str | None) -> CatalogModel:
        return find_model(name, paths) if name is not None and "server:" in name else local

    engine = Naming("One.")
    async with run_app(engine, size=(140, 24), find_model=find) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+m")
        await wait_until(lambda: is_open(pilot, ModelsScreen), "the list")
        await pilot.press(*"server:http://cluster:8000", "enter")
        await wait_until(lambda: place(pilot) == "at cluster:8000", "the place")
        await wait_until(lambda: status(pilot).startswith("qwen3 · "), "the name")
        await ask(pilot, "And you?", "One.")
        conversation = screen(pilot).view.conversation
        assert conversation is not None
        assert conversation.model_path == "server:http://cluster:8000/v1#qwen3"
        assert len(engine.loads) == 2


async def test_a_long_host_leaves_room_for_the_rest(run_app: RunApp) -> None:
    spec = f"server:https://{'long.' * 30}example.org/v1#qwen3"
    async with run_app(ScriptedEngine(), size=(80, 24), **on_server(spec)) as pilot:
        assert place(pilot).startswith("at long.long")
        assert len(place(pilot)) <= 35
        assert "moderated" in status(pilot)


async def test_a_context_of_unknown_size_is_shown_as_such(run_app: RunApp) -> None:
    class Unknown(ScriptedEngine):
        async def load(self, *arguments: Any) -> LoadedModel:
            return msgspec.structs.replace(await super().load(*arguments), n_ctx=0)

    engine = Unknown("One.")
    async with run_app(engine, size=(140, 24), **on_server(CLUSTER)) as pilot:
        await ask(pilot, "Hi", "One.")
        await wait_until(lambda: "context ≈" in status(pilot), "the context")
        assert "/0" not in status(pilot)
