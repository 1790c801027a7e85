"""The client takes its language from the locale, or from the setting."""

from __future__ import annotations

import pytest

from baize_tui.paths import Paths
from tests.terminal.pty_session import PtySession

CHINESE = {"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LANGUAGE": ""}
ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("environment", "setting", "shown"),
    [
        (CHINESE, "auto", "在下方输入"),
        (CHINESE, "en", "Type below"),
        (ENGLISH, "auto", "Type below"),
        (ENGLISH, "zh", "在下方输入"),
    ],
)
def test_the_screen(environment: dict[str, str], setting: str, shown: str, paths: Paths) -> None:
    with paths.settings_file.open("a") as settings:
        settings.write(f'[look]\nlanguage = "{setting}"\n')
    with PtySession(environment=environment) as client:
        client.wait_for(shown)


def test_the_client_without_a_screen() -> None:
    with PtySession("--plain", environment=CHINESE) as client:
        client.wait_for("/help 列出命令；Ctrl-D 退出。")
