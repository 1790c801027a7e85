"""A store that fails: the reason is shown, the client goes on, and the same works later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from baize_tui.app.screens.models import ModelsScreen
from baize_tui.catalog.recipes import Recipe, write_recipe
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from tests.app.pilot import RunApp, ask, client, is_open, status, texts, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until

Fail = Callable[..., None]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Let methods of the store fail, or with ``again`` work again."""

    def full(*_: object, **__: object) -> None:
        raise StoreFull("no space left on the disk")

    kept = {name: getattr(Store, name) for name in dir(Store) if not name.startswith("_")}

    def fail(*names: str, again: bool = False) -> None:
        for name in names:
            monkeypatch.setattr(Store, name, kept[name] if again else full)

    return fail


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("conversation", ["ctrl+n", "ctrl+b", "enter"]),
        ("message", ["ctrl+r"]),
        ("message", ["ctrl+g"]),
        ("message", ["alt+e", *" you", "enter"]),
        ("questions", ["ctrl+up"]),
        ("questions", ["f8"]),
        ("siblings", ["ctrl+r", "wait", "alt+left"]),
        ("path_end", ["ctrl+n", "ctrl+b", "enter"]),
        ("set_options", ["ctrl+t"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_each_key_says_why_it_cannot_do_its_work(
    method: str, keys: list[str], run_app: RunApp, fail: Fail
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        if "wait" in keys:
            await pilot.press(*keys[: keys.index("wait")])
            await wait_until(lambda: not client(pilot).state.chat.busy, "another answer")
            keys = keys[keys.index("wait") + 1 :]
        fail(method)
        await pilot.press(*keys)
        await wait_until(lambda: "no space left" in status(pilot), "the reason")
        fail(method, again=True)
        await pilot.press("escape")
        await ask(pilot, "And?", "One.")


async def test_a_model_that_cannot_be_saved_for_a_conversation_is_not_loaded(
    run_app: RunApp, paths: Paths, tmp_path: Path, fail: Fail
) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(b"weights")
    write_recipe("other", Recipe(file=str(file)), paths)
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        fail("set_options")
        await pilot.press("alt+m")
        await wait_until(lambda: is_open(pilot, ModelsScreen), "the models")
        await pilot.press(*"oth", "enter")
        await wait_until(lambda: "no space left" in status(pilot), "the reason")
        assert len(engine.loads) == 1


async def test_an_undo_that_failed_can_be_repeated(run_app: RunApp, fail: Fail) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+b", "delete", "delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        fail("undelete")
        await pilot.press("alt+z")
        await wait_until(lambda: "no space left" in status(pilot), "the reason")
        fail("undelete", again=True)
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["Hi"], "the undo")
        assert texts(pilot) == ["Hi", "One."]
