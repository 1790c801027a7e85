"""No window is too small: whatever is open, it is drawn again where there is room."""

from __future__ import annotations

import pytest

from baize_tui.app.actions import ACTIONS
from tests.app.pilot import RunApp, ask, say
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until

ANSWER = "An answer:\n\n```python\nprint('code')\n```\n\n| a | b |\n|---|---|\n| 1 | 泽 |"
_LEAVING = {"quit", "suspend"}
TINY = ((1, 1), (2, 1), (3, 2), (7, 3), (20, 6), (400, 120), (60, 1), (1, 60), (80, 24))


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    "action", [action.id for action in ACTIONS if not action.argument and action.id not in _LEAVING]
)
async def test_what_an_action_opens_survives_every_size(action: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(ANSWER)) as pilot:
        await ask(pilot, "What is it?", ANSWER)
        keys = next(each.keys for each in ACTIONS if each.id == action)
        await (pilot.press(keys[0]) if keys else say(pilot, f"/{action}"))
        await pilot.pause()
        for size in TINY:
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await wait_until(lambda: pilot.app.size == TINY[-1], "the last size")
        assert pilot.app.is_running
