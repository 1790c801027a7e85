"""A path that Tab completes, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from baize_tui.app.widgets.path_input import PathInput, path_matches
from tests.conftest import wait_until
from tests.terminal.terminal_bytes import hostile_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("models/plum-q4.gguf", "models/plum-q8.gguf", "models/pear.gguf", "more/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


class Asking(App[None]):
    def compose(self) -> ComposeResult:
        yield PathInput()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("/mode", "/models/"),
        ("/mo", "/mo"),
        ("/models/pl", "/models/plum-q"),
        ("/models/plum-q4", "/models/plum-q4.gguf"),
        ("/models/x", "/models/x"),
        ("/nowhere/x", "/nowhere/x"),
        ("/more/", "/more/"),
        ("/more/.h", "/more/.hidden"),
    ],
)
async def test_tab_completes_as_far_as_that_is_certain(
    folder: Path, typed: str, completed: str
) -> None:
    async with Asking().run_test() as pilot:
        field = pilot.app.query_one(PathInput)
        field.value = f"{folder}{typed}"
        await pilot.press("tab")
        await pilot.pause()
        assert field.value == f"{folder}{completed}"
        assert field.has_focus


async def test_what_could_follow_is_shown_and_right_takes_it(folder: Path) -> None:
    async with Asking().run_test() as pilot:
        field = pilot.app.query_one(PathInput)
        field.value = f"{folder}/models/pl"
        await pilot.press("u")
        await wait_until(lambda: field._suggestion.endswith("plum-q4.gguf"), "the suggestion")
        await pilot.press("right")
        assert field.value == f"{folder}/models/plum-q4.gguf"


def test_a_home_keeps_its_short_form(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert path_matches("~") == ["~/"]
    assert path_matches("~/m") == ["~/models/", "~/more/"]


@pytest.mark.parametrize("text", ["", "plum", "hf:owner/name", "/\0/x", "~nobody-here/x"])
def test_what_is_no_path_is_not_completed(text: str) -> None:
    assert path_matches(text) == []


def test_a_name_that_a_terminal_could_obey_is_left_out(tmp_path: Path) -> None:
    (tmp_path / hostile_name("Qfile")).touch()
    (tmp_path / "plain").touch()
    assert path_matches(f"{tmp_path}/") == [f"{tmp_path}/plain"]
