"""What every command that talks works with, put together."""

from __future__ import annotations

from collections.abc import Callable

from baize_tui.catalog.adapters import find_adapter
from baize_tui.catalog.recipes import find_model
from baize_tui.chat.formats import format_named
from baize_tui.chat.turns import Chat
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store


def make_chat(
    store: Store,
    settings: Settings,
    paths: Paths,
    *,
    one_model: bool = False,
    on_notice: Callable[[str], None] | None = None,
) -> Chat:
    """Conversations of ``store`` over a worker process; see ``Chat`` for ``one_model``, and
    ``WorkerEngine`` for ``on_notice``.

    Raises:
        UnknownFormat: the settings name a prompt format that there is not.
    """
    if settings.chat.format is not None:
        format_named(settings.chat.format)
    engine = WorkerEngine(paths)
    if on_notice is not None:
        engine.on_notice = on_notice
    return Chat(
        store,
        engine,
        settings,
        paths.cache,
        lambda name: find_model(name, paths),
        find_adapter=lambda name: find_adapter(name, paths),
        one_model=one_model,
    )
