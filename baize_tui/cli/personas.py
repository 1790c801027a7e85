"""Personas on the command line."""

from __future__ import annotations

from baize_tui.paths import project_paths


def complete_persona(incomplete: str) -> list[str]:
    """The names of personas that begin with ``incomplete``."""
    from baize_tui.catalog.personas import known_personas

    names = known_personas(project_paths()).contents
    return [name for name in names if name.startswith(incomplete)]
