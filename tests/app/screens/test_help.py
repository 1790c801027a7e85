"""The help, in terminals of every width."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.widgets import Static

from baize_tui.app.screens.dialogs import HelpScreen
from tests.app.pilot import RunApp, is_open
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.mark.parametrize("columns", [31, 66, 80, 110])
async def test_a_long_text_is_wrapped_below_itself(columns: int, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(columns, 24)) as pilot:
        await pilot.press("f1")
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
        await pilot.pause()
        parts = pilot.app.screen.query(".dialog > Static").exclude(".title").exclude(".part")
        for part in parts.results(Static):
            lines = str(part.render()).split("\n")
            assert max(map(cell_len, lines)) <= part.size.width
            assert not any(line.startswith("keep its") for line in lines)
