"""The two themes of the project, the jade green of baize cloth on dark and on light, and the themes
that a person wrote."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct
from textual.color import Color, ColorParseError
from textual.theme import Theme

from baize_shared.sanitizer import clean_line
from baize_shared.toml_files import TomlError, decode_toml

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
    warning="#d9a45b",
    error="#d9736b",
    variables={
        "footer-key-foreground": "#4fb286",
        "input-selection-background": "#4fb286 30%",
        "block-cursor-foreground": "#121614",
        "block-cursor-background": "#4fb286",
        "border-blurred": "#1e2522",
    },
)

BAIZE_LIGHT = Theme(
    name="baize-light",
    dark=False,
    primary="#1d7a52",
    secondary="#5c7268",
    accent="#1d7a52",
    foreground="#1d2420",
    background="#fbfcfb",
    surface="#f3f6f4",
    panel="#e8eeea",
    success="#1d7a52",
    warning="#8a5a0b",
    error="#b23b33",
    variables={
        "footer-key-foreground": "#1d7a52",
        "input-selection-background": "#1d7a52 25%",
        "block-cursor-foreground": "#fbfcfb",
        "block-cursor-background": "#1d7a52",
        "border-blurred": "#e8eeea",
    },
)


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


def read_themes(folder: Path) -> list[Theme | InvalidTheme]:
    """The person's own themes: one ``NAME.toml`` for each."""
    themes: list[Theme | InvalidTheme] = []
    for file in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
        try:
            content = decode_toml(file.read_bytes(), _ThemeFile)
            fields = msgspec.structs.asdict(content)
            for key, colour in fields.items():
                if key not in ("dark", "variables") and colour is not None:
                    Color.parse(colour)
        except OSError as error:
            themes.append(InvalidTheme(f"{file}: {error.strerror}"))
        except TomlError as error:
            themes.append(InvalidTheme(f"{file}: {error}"))
        except ColorParseError as error:
            themes.append(InvalidTheme(f"{file}: {clean_line(str(error))}"))
        else:
            themes.append(Theme(name=clean_line(file.stem), **fields))
    return themes
