"""What the shell offers for names and ids."""

from __future__ import annotations

from baize_tui.catalog.finding import known_models
from baize_tui.cli.open_chat import with_conversations
from baize_tui.paths import project_paths


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """The models whose names begin with ``incomplete``, and their titles."""
    known = known_models(project_paths())
    return [(model.name, model.title) for model in known if model.name.startswith(incomplete)]


def complete_session(incomplete: str) -> list[tuple[str, str]]:
    """The conversations whose ids begin with ``incomplete``, and their titles."""
    known = with_conversations(lambda conversations: conversations.list_all())
    return [(c.id, c.title) for c in known if c.id.startswith(incomplete)]


def complete_deleted_session(incomplete: str) -> list[tuple[str, str]]:
    """The same of deleted conversations."""
    known = with_conversations(lambda conversations: conversations.deleted())
    return [(c.id, c.title) for c in known if c.id.startswith(incomplete)]


def complete_persona(incomplete: str) -> list[str]:
    """The names of personas that begin with ``incomplete``."""
    from baize_tui.catalog.personas import known_personas

    names = known_personas(project_paths()).contents
    return [name for name in names if name.startswith(incomplete)]
