"""Personas: named system prompts with the options that belong to them, one file each."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from baize_tui.catalog.written_files import WrittenFiles, read_written_files
from baize_tui.paths import Paths
from baize_tui.settings import Overflow, Scale, SettingsError, merge_sampling
from baize_tui.translation import msg, tr


class Persona(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file ``personas/NAME.toml``, or ``NAME.md`` with ``system`` as its text."""

    system: str
    """What the model is told before the first turn."""
    description: str = ""
    greeting: str = ""
    """Shown before the first message; the model is not told."""
    moderation: bool | None = None
    """Whether the model is asked to decline some topics; None leaves it to the settings."""
    format: str | None = None
    think: bool | None = None
    overflow: Overflow | None = None
    stop: tuple[str, ...] = ()
    adapters: dict[str, Scale] = {}
    sampling: dict[str, Any] = {}
    """Fields of ``Sampling``."""


def known_personas(paths: Paths) -> WrittenFiles[Persona]:
    """The person's own personas, and those that ship."""
    return read_written_files(paths.personas_folder, "personas", Persona, "system", _check)


NO_SUCH_PERSONA = msg("no persona is called {name}; there are: {known}")


def find_persona(name: str, paths: Paths) -> Persona:
    """The persona ``name``.

    Raises:
        CatalogError: there is none, or its file cannot be used.
    """
    return known_personas(paths).find(name, NO_SUCH_PERSONA)


def _check(persona: Persona) -> None:
    try:
        merge_sampling(persona.sampling)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    if not all(persona.stop):
        raise ValueError(tr("stop: an empty string would end every answer at once"))
