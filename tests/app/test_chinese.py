"""A walk through the screens in Chinese: no English sentence of the client is left on them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, Static

from baize_tui.app.screens.option_form import OptionRow
from baize_tui.catalog.recipes import CatalogModel, NoModelInstalled
from baize_tui.settings import LookSettings, Settings
from tests.app.model_list import plan_of
from tests.app.pilot import RunApp, client, notices, say, screen, status, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until
from tests.translation.english_left import english_in

pytestmark = pytest.mark.usefixtures("in_chinese")

HIGH = (120, 260)
"""A terminal in which every screen is in sight as a whole."""
SMALL = (80, 24)
SCREENS = (
    "help",
    "settings",
    "conversation",
    "palette",
    "organize",
    "model",
    "search",
    "find",
    "map",
    "details",
    "inspect",
    "tokens",
    "trash",
    "archived",
    "tags",
    "rename",
    "export",
    "import",
    "persona",
    "theme",
    "regex",
    "grammar",
    "compare",
)
"""Actions that open a screen."""


def text_of(pilot: Pilot[int]) -> str:
    """All words on the screen, without what is below a dialog."""
    strips = pilot.app.screen._compositor.render_strips()
    return " ".join(" ".join(strip.text for strip in strips).split())


def english_on(pilot: Pilot[int]) -> list[str]:
    """The English messages that the screen shows."""
    return english_in(text_of(pilot))


async def answered(pilot: Pilot[int]) -> None:
    count = len(texts(pilot))
    await say(pilot, "白泽是什么？")
    await wait_until(lambda: len(texts(pilot)) == count + 2, "the answer")
    await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
    await wait_until(lambda: screen(pilot).status.kind == "idle", "the status")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("action", SCREENS)
async def test_every_screen_is_in_chinese(run_app: RunApp, action: str, plum: str) -> None:
    async with run_app(ScriptedEngine("瑞兽。", n_ctx=4096), HIGH) as pilot:
        client(pilot).state.plans["smollm2-135m"] = plan_of("smollm2-135m")
        await answered(pilot)
        assert english_on(pilot) == []
        main = screen(pilot)
        await main.run_command(action)
        if action != "find":
            await wait_until(
                lambda: pilot.app.screen is not main or main.status.kind == "problem", action
            )
        await pilot.pause()
        assert english_on(pilot) == []
        assert re.search("[\u4e00-\u9fff]{2}", text_of(pilot))
        if pilot.app.screen is not main:
            await pilot.press("escape")


def no_model(name: str | None) -> CatalogModel:
    raise NoModelInstalled


async def test_the_first_run_is_in_chinese(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("x"), HIGH, find_model=no_model) as pilot:
        await wait_until(lambda: "还没有模型" in text_of(pilot), "the words")
        assert english_on(pilot) == []
        await say(pilot, "hello")
        await wait_until(lambda: screen(pilot).status.kind == "problem", "the refusal")
        assert status(pilot) == "还没有模型；按 alt+m 打开模型列表"


async def test_the_welcome_offers_chinese_examples(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("巴黎。")) as pilot:
        await wait_until(lambda: "在下方输入" in text_of(pilot), "the welcome")
        await pilot.press("tab")
        await wait_until(lambda: screen(pilot).prompt.text, "the example")
        assert screen(pilot).prompt.text == "法国的首都是哪里？"


async def _stopped(pilot: Pilot[int]) -> None:
    await say(pilot, "数到三")
    await wait_until(lambda: texts(pilot)[-1:] == ["一"], "half the answer")
    assert "正在回答" in status(pilot)
    await pilot.press("escape")
    await wait_until(lambda: "已停止 · ^g 继续" in text_of(pilot), "the note")


async def _deleted(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("alt+d")
    await wait_until(lambda: "已删除 · alt+z 恢复" in status(pilot), "the note")


async def _nothing_to_undo(pilot: Pilot[int]) -> None:
    await pilot.press("alt+z")
    await wait_until(lambda: "没有可撤销的操作。" in notices(pilot), "the notice")


async def _unknown_command(pilot: Pilot[int]) -> None:
    await say(pilot, "/白泽")
    await wait_until(lambda: "没有命令 /白泽" in status(pilot), "the note")


async def _marked_and_pinned(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("alt+g", "alt+p")
    await wait_until(lambda: "▲ 好 · 已固定" in text_of(pilot), "the marks")


@pytest.mark.parametrize(
    "happens", [_stopped, _deleted, _nothing_to_undo, _unknown_command, _marked_and_pinned]
)
async def test_what_happens_is_said_in_chinese(
    run_app: RunApp, happens: Callable[[Pilot[int]], Awaitable[None]]
) -> None:
    engine = ScriptedEngine("一", "二")
    engine.pause_at = 1 if happens is _stopped else None
    async with run_app(engine, (120, 40), notifications=True) as pilot:
        await happens(pilot)
        assert english_on(pilot) == []


async def test_commands_are_found_by_chinese_and_english_words(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("好。"), (120, 40)) as pilot:
        for word in ("设置", "settings", "config.toml"):
            await pilot.press("ctrl+p")
            await wait_until(lambda: pilot.app.screen is not screen(pilot), "the palette")
            pilot.app.screen.query_one(Input).value = word
            await wait_until(lambda: "修改 config.toml 中的设置" in text_of(pilot), "the command")
            await pilot.press("escape")
            await wait_until(lambda: pilot.app.screen is screen(pilot), "its end")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("action", SCREENS)
async def test_no_word_is_cut_in_a_small_terminal(run_app: RunApp, action: str) -> None:
    """Titles, hints and labels are shown in full, in one line each or wrapped."""
    async with run_app(ScriptedEngine("瑞兽。", n_ctx=4096), SMALL) as pilot:
        await answered(pilot)
        assert "…" not in status(pilot)
        assert "审核开启" in status(pilot)
        main = screen(pilot)
        await main.run_command(action)
        if action != "find":
            await wait_until(
                lambda: pilot.app.screen is not main or main.status.kind == "problem", action
            )
        await pilot.pause()
        texts_in_sight = pilot.app.screen.query(Static)
        for widget in texts_in_sight:
            text = str(widget.render())
            width, height = widget.content_size
            if widget.has_class("title", "about", "name") and width and "\n" not in text:
                wrapped = widget.visual.get_height({}, width) if text else 0
                assert wrapped <= height, text
        if pilot.app.screen is not main:
            await pilot.press("escape")


async def test_labels_of_settings_fit_into_their_column(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("好。"), SMALL) as pilot:
        await screen(pilot).run_command("settings")

        def are_laid_out() -> bool:
            return any(name.size.width for name in pilot.app.screen.query(".name"))

        await wait_until(are_laid_out, "the rows")
        for row in pilot.app.screen.query(OptionRow):
            name = row.query_one(".name", Static)
            assert cell_len(str(name.render()).rstrip()) < name.size.width, str(name.render())


async def test_the_language_is_a_setting(run_app: RunApp, tmp_path: Path) -> None:
    settings = Settings(look=LookSettings(language="zh"))
    async with run_app(ScriptedEngine("好。"), HIGH, settings) as pilot:
        await screen(pilot).run_command("settings")
        await wait_until(lambda: pilot.app.screen.query(OptionRow), "the rows")
        rows = [row.option for row in pilot.app.screen.query(OptionRow)]
        language = next(option for option in rows if option.field.name == "look.language")
        assert (language.value, language.default) == ("zh", "auto")
        assert language.choices == ("auto", "en", "zh")
