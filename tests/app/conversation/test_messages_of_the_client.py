"""Problems in the status line, and notices: they end, and cover nothing."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets._toast import Toast

from baize_tui.chat.conversations import Conversations, ListedConversations
from baize_tui.engine.client import EngineFailure
from baize_tui.store.errors import StoreError, StoreFull
from baize_tui.store.records import Unsent
from baize_tui.store.unsent import UnsentStore
from tests.app.pilot import RunApp, ask, client, notices, screen, shown, status
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def no_command(pilot: Pilot[int]) -> None:
    await pilot.press(*"/nothing", "enter")
    await wait_until(lambda: "no command" in status(pilot), "the problem")


async def half_a_deletion(pilot: Pilot[int]) -> None:
    await ask(pilot, "Hi", "Hello there.")
    await pilot.press("ctrl+b", "delete")
    await wait_until(lambda: "press delete again" in status(pilot), "the question")


async def nothing_to_compare(pilot: Pilot[int]) -> None:
    await pilot.press("alt+v")
    await wait_until(lambda: "no other model" in status(pilot), "the problem")


@pytest.mark.parametrize("cause", [no_command, half_a_deletion, nothing_to_compare])
async def test_a_problem_ends_with_the_next_key(
    cause: object, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.catalog.finding.importlib.util.find_spec", lambda name: None)
    assert callable(cause)
    async with run_app(ScriptedEngine()) as pilot:
        await cause(pilot)
        await pilot.press("left")
        assert screen(pilot).status.kind == "idle"


async def test_a_model_that_is_not_loaded_is_named_when_the_problem_ends(run_app: RunApp) -> None:
    engine = ScriptedEngine()
    engine.load_failure = EngineFailure("x.gguf is not a GGUF file", "load")
    async with run_app(engine) as pilot:
        await wait_until(lambda: "not a GGUF" in status(pilot), "the problem")
        await pilot.press("a")
        assert status(pilot) == "scripted (not loaded) · moderated"


async def test_a_problem_that_lasts_is_shown_until_it_ends(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = True
    save = UnsentStore.save

    def save_or_fail(store: UnsentStore, unsent: Unsent) -> None:
        if is_full:
            raise StoreFull("no space left on the disk")
        save(store, unsent)

    monkeypatch.setattr(UnsentStore, "save", save_or_fail)
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("a")
        await wait_until(lambda: "no space left" in status(pilot), "the problem")
        await pilot.press("b", "left")
        assert "no space left" in status(pilot)
        is_full = False
        await wait_until(lambda: status(pilot) == "the draft is saved", "its end")
        await pilot.press("left")
        assert screen(pilot).status.kind == "idle"


async def test_a_list_that_can_be_read_again_ends_the_problem(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        read = Conversations.list_with_version

        async def fail(_: Conversations, **__: object) -> ListedConversations:
            raise StoreError("the file is locked")

        monkeypatch.setattr(Conversations, "list_with_version", fail)
        await ask(pilot, "Hi", "Hello there.")
        await wait_until(lambda: "is locked" in status(pilot), "the problem")
        monkeypatch.setattr(Conversations, "list_with_version", read)
        await wait_until(lambda: "up to date again" in status(pilot), "its end")
        await pilot.press("left")
        assert screen(pilot).status.kind == "idle"


# --- notices ------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [(31, 24), (80, 24), (110, 34)], ids=str)
@pytest.mark.parametrize("turns", [1, 12])
async def test_notices_cover_neither_prompt_nor_answer_nor_status_line(
    turns: int, size: tuple[int, int], run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    async with run_app(ScriptedEngine("Hello ", "there."), size=size, notifications=True) as pilot:
        for number in range(turns):
            await ask(pilot, f"question {number}", "Hello there.")
        for _ in range(6):
            client(pilot).warn("Something that takes several lines to say. " * 3)
        await pilot.press("alt+c")
        await wait_until(lambda: "Copied" in notices(pilot), "the notices")
        await pilot.pause()
        here = screen(pilot)
        for widget in (here.prompt, here.transcript, here.status):
            assert is_in_sight(widget)
        *_, answer, made = shown(pilot).rstrip().split("\n")
        assert (answer.strip(), made.strip().split()[0]) == ("Hello there.", "scripted")


def is_in_sight(widget: Widget) -> bool:
    """Whether no other widget covers a cell of ``widget``."""
    region = widget.region
    corners = [region.offset, (region.right - 1, region.bottom - 1)]
    above = [widget.screen.get_widget_at(*corner)[0] for corner in corners]
    return region.area > 0 and all(widget in [found, *found.ancestors] for found in above)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [(31, 24), (80, 24), (110, 34)], ids=str)
@pytest.mark.parametrize("key", ["f1", "f3", "f4", "alt+m", "ctrl+p", "f2"])
async def test_notices_cover_no_dialog(key: str, size: tuple[int, int], run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=size, notifications=True) as pilot:
        await ask(pilot, "Hi", "Hello there.")
        await pilot.press(key)
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the dialog")
        await wait_until(lambda: pilot.app.screen.is_mounted, "its widgets")
        client(pilot).warn("Something is wrong, and it takes several lines to say. " * 2)
        await wait_until(lambda: "Something is wrong" in notices(pilot), "the notice")
        await pilot.pause()
        assert is_in_sight(pilot.app.screen.query_one(".dialog"))
        assert is_in_sight(pilot.app.screen.query_one(Toast))


async def test_a_notice_ends_with_a_click(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        height = screen(pilot).transcript.size.height
        client(pilot).warn("Something is wrong.")
        await wait_until(lambda: "Something is wrong." in notices(pilot), "the notice")
        await pilot.pause()
        await pilot.click(Toast)
        await wait_until(lambda: not notices(pilot), "its end")
        await wait_until(lambda: screen(pilot).transcript.size.height == height, "the lines")
