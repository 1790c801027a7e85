"""The two themes of the project, and themes that a person wrote."""

from __future__ import annotations

import pytest
from pygments.styles import get_style_by_name
from pygments.token import Whitespace
from rich.style import Style
from textual.color import Color
from textual.theme import Theme
from textual.widgets import Select

from baize_tui.app.themes import BAIZE_DARK, BAIZE_LIGHT, InvalidTheme, read_themes
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.paths import Paths
from baize_tui.settings import LookSettings, Settings, load_settings
from tests.app.contrast import LEAST, contrast
from tests.app.forms import close, open_settings, row
from tests.app.pilot import (
    RunApp,
    notices,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.mark.parametrize("theme", [BAIZE_DARK, BAIZE_LIGHT])
async def test_the_theme_of_the_settings_is_used(
    theme: Theme, run_app: RunApp, paths: Paths
) -> None:
    settings = Settings(look=LookSettings(theme=theme.name))
    async with run_app(ScriptedEngine(), settings=settings) as pilot:
        app = pilot.app
        assert app.screen.styles.background == Color.parse(theme.background or "")
        _, colour = app.query_one(Prompt).styles.border_left
        assert colour == Color.parse(theme.primary)
        assert app.has_class("-dark-mode") == theme.dark
        assert app.has_class("-light-mode") != theme.dark


@pytest.mark.parametrize("theme", [BAIZE_DARK, BAIZE_LIGHT])
async def test_every_colour_of_code_is_readable(theme: Theme, run_app: RunApp) -> None:
    async with run_app(
        ScriptedEngine(), settings=Settings(look=LookSettings(theme=theme.name))
    ) as pilot:
        look = transcript(pilot).look
    for kind, style in get_style_by_name(look.code_theme):
        if style["color"] and kind not in Whitespace:
            assert contrast(look.code + Style(color=f"#{style['color']}")) >= LEAST, kind


async def test_another_theme_applies_at_once_and_at_the_next_start(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        row(pilot, "theme").query_one(Select).value = "baize-light"
        await wait_until(lambda: pilot.app.theme == "baize-light", "the theme")
        await wait_until(paths.settings_file.exists, "the file")
        await close(pilot)
    assert load_settings(paths.settings_file).look.theme == "baize-light"


async def test_a_theme_chosen_in_the_palette_is_kept(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        pilot.app.theme = "nord"
        await wait_until(paths.settings_file.exists, "the file")
        assert load_settings(paths.settings_file).look.theme == "nord"


async def test_a_custom_theme_is_used(run_app: RunApp, paths: Paths) -> None:
    paths.themes_folder.mkdir(parents=True)
    (paths.themes_folder / "sea.toml").write_text('primary = "#0088aa"\ndark = false\n')
    settings = Settings(look=LookSettings(theme="sea"))
    async with run_app(ScriptedEngine(), settings=settings) as pilot:
        assert pilot.app.theme == "sea"
        colour = pilot.app.query_one(Prompt).styles.border_left[1]
        assert colour.hex.lower() == "#0088aa"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("dark = true\n", "primary"),
        ('primary = "#12"\n', "#12"),
        ('primary = "red"\ncolour = "blue"\n', "colour"),
        ("primary = \n", "sea.toml"),
        ("primary = " + "[" * 9000, "too deeply"),
        ('primary = "red"\n[variables]\nborder = "nonsense"\n', "variables.border"),
        ('primary = "red"\n[variables]\nborder = "}"\n', "variables.border"),
        ('primary = "red"\n[variables]\nprimary = "$primary"\n', "variables.primary"),
        ('primary = "red"\n[variables]\nblock-cursor-text-style = "boldly"\n', "none of"),
    ],
)
def test_an_invalid_theme_is_reported(content: str, wrong: str, paths: Paths) -> None:
    paths.themes_folder.mkdir(parents=True)
    (paths.themes_folder / "sea.toml").write_text(content)
    (theme,) = read_themes(paths.themes_folder)
    assert isinstance(theme, InvalidTheme)
    assert wrong in theme.reason


def test_variables_of_a_theme_are_colours_and_styles(paths: Paths) -> None:
    paths.themes_folder.mkdir(parents=True)
    variables = 'border = "#4fb286 30%"\ntext = "auto 87%"\nlink-style = "bold underline"\n'
    (paths.themes_folder / "sea.toml").write_text(f'primary = "red"\n[variables]\n{variables}')
    (theme,) = read_themes(paths.themes_folder)
    assert isinstance(theme, Theme)
    assert len(theme.variables) == 3


async def test_a_missing_theme_is_reported(run_app: RunApp) -> None:
    settings = Settings(look=LookSettings(theme="gone"))
    async with run_app(ScriptedEngine(), settings=settings, notifications=True) as pilot:
        assert pilot.app.theme == "baize-dark"
        await wait_until(lambda: "no theme gone" in notices(pilot), "the notice")
