"""The two themes of the project, the jade green of baize cloth on dark and on light, and the themes
that a person wrote.

A terminal with 16 colours shows the nearest of them; the colours are chosen so that text stays
readable then, and accents and errors keep their meaning. On white only blue, red and magenta are
readable then, so the light theme has no green there.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
from msgspec import Struct
from textual.color import Color, ColorParseError
from textual.css.constants import VALID_STYLE_FLAGS
from textual.theme import Theme

from baize_shared.sanitizer import clean_line
from baize_shared.toml_files import TomlError, read_toml
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import tr

BAIZE_DARK = Theme(
    name="baize-dark",
    dark=True,
    primary="#4fb286",
    secondary="#7f9c8f",
    accent="#4fb286",
    foreground="#d7dcd9",
    background="#121614",
    surface="#171c1a",
    panel="#1e2522",
    success="#4fb286",
    warning="#e5b052",
    error="#d9736b",
    variables={
        "footer-key-foreground": "#4fb286",
        "input-selection-background": "#4fb286",
        "input-selection-foreground": "#121614",
        "block-cursor-foreground": "#121614",
        "block-cursor-background": "#4fb286",
        "border-blurred": "#1e2522",
        # Beyond the colour of other text, so that what is dim in the row stays readable.
        "block-cursor-blurred-foreground": "#ffffff",
    },
)

BAIZE_LIGHT = Theme(
    name="baize-light",
    dark=False,
    primary="#067c40",
    secondary="#5c7268",
    accent="#067c40",
    foreground="#1d2420",
    background="#fbfcfb",
    surface="#f3f6f4",
    panel="#e8eeea",
    success="#067c40",
    warning="#8a5a0b",
    error="#b22933",
    variables={
        "footer-key-foreground": "#067c40",
        "input-selection-background": "#067c40",
        "input-selection-foreground": "#fbfcfb",
        "block-cursor-foreground": "#fbfcfb",
        "block-cursor-background": "#067c40",
        "border-blurred": "#e8eeea",
        "block-cursor-blurred-foreground": "#000000",
    },
)

_BLUE_OF_16 = "#0000aa"
_MAGENTA_OF_16 = "#aa00aa"
BAIZE_LIGHT_OF_16 = dataclasses.replace(
    BAIZE_LIGHT,
    primary=_BLUE_OF_16,
    accent=_BLUE_OF_16,
    success=_BLUE_OF_16,
    warning=_MAGENTA_OF_16,
    variables={
        name: _BLUE_OF_16 if colour == BAIZE_LIGHT.primary else colour
        for name, colour in BAIZE_LIGHT.variables.items()
    },
)
"""The light theme for a terminal with 16 colours."""

_OPACITY = re.compile(r"\s+\d{1,3}%$")


class _ThemeFile(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The contents of a theme file; colours are ``#rrggbb`` or names."""

    primary: str
    dark: bool = True
    secondary: str | None = None
    accent: str | None = None
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    panel: str | None = None
    success: str | None = None
    warning: str | None = None
    error: str | None = None
    variables: dict[str, str] = {}


class InvalidTheme(Struct, frozen=True):
    """A theme file that cannot be used; ``reason`` is one line that names the file."""

    reason: str


def with_dim(variables: dict[str, str]) -> dict[str, str]:
    """The variables of a theme, with the colour of secondary text if the theme does not name one.

    Its contrast is at least 4.5:1 in both themes of the project, and with 16 colours it does not
    have the colour of the background.
    """
    return {"dim": f"{variables['foreground']} 70%", **variables}


def read_themes(folder: Path) -> list[Theme | InvalidTheme]:
    """The person's own themes: one ``NAME.toml`` for each."""
    themes: list[Theme | InvalidTheme] = []
    for file in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
        try:
            content = read_toml(file, _ThemeFile)
            fields = msgspec.structs.asdict(content)
            for key, colour in fields.items():
                if key not in ("dark", "variables") and colour is not None:
                    Color.parse(colour)
            for name, value in content.variables.items():
                _check_variable(name, value)
        except OSError as error:
            themes.append(_invalid(file, error.strerror))
        except (TomlError, ColorParseError, _InvalidVariable) as error:
            themes.append(_invalid(file, error))
        else:
            themes.append(Theme(name=clean_line(file.stem), **fields))
    return themes


class _InvalidVariable(Exception):
    """A variable has a value that would end the client: Textual reads it as part of its CSS."""


def _check_variable(name: str, value: str) -> None:
    """Check a variable of a theme: a colour, with an opacity or not, or styles of a text.

    Raises:
        _InvalidVariable: it is neither.
    """
    if name.endswith("-style"):
        if not set(value.split()) <= VALID_STYLE_FLAGS:
            known = ", ".join(sorted(VALID_STYLE_FLAGS))
            why = tr("{value} is none of {known}", value=repr(value), known=known)
            raise _InvalidVariable(f"variables.{name}: {why}")
        return
    colour = _OPACITY.sub("", value)
    if colour == "auto" and name.startswith("text"):
        return
    try:
        Color.parse(colour)
    except ColorParseError as error:
        why = tr("{value} is not a colour, such as '#4fb286' or '#4fb286 30%'", value=repr(value))
        raise _InvalidVariable(f"variables.{name}: {why}") from error


def _invalid(file: Path, why: object) -> InvalidTheme:
    return InvalidTheme(clean_line(tr(NAMED, name=file, why=tr_shared(why)), 500))
