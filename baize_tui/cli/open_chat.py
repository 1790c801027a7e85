"""The chat of a command: the conversations file, the models, and what runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from pathlib import Path
from typing import TypeVar

from baize_tui.catalog.adapters import CatalogAdapter, find_adapter
from baize_tui.catalog.domains import names_in_domain
from baize_tui.catalog.finding import find_model
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.catalog.same_model import find_same_model
from baize_tui.chat.chat import Chat
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.formats import format_named
from baize_tui.chat.store_thread import StoreThread, open_store
from baize_tui.cli.output import tell
from baize_tui.engine.client import LocalEngine, WorkerEngine
from baize_tui.engine.remote.routed_engine import RoutedEngine
from baize_tui.engine.snapshots.snapshot_folder import forget_conversation
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import Settings
from baize_tui.translation import msg, tr

T = TypeVar("T")
MOVED = msg("the conversations file was damaged; it was moved to {file}")


class LocalCatalog:
    """The models and adapters that this machine has, and models on servers."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def find_model(self, name: str | None) -> CatalogModel:
        return find_model(name, self._paths)

    def find_same_model(self, name: str, path: str | None, sha256: str | None) -> CatalogModel:
        return find_same_model(name, path, sha256, self._paths)

    def find_adapter(self, name: str) -> CatalogAdapter:
        return find_adapter(name, self._paths)

    def names_in_domain(self, domain: str) -> Set[str]:
        return names_in_domain(domain, self._paths)


def open_chat(
    store: StoreThread,
    settings: Settings,
    paths: Paths,
    *,
    one_model: bool = False,
    engine_socket: Path | None = None,
) -> Chat:
    """A chat over the conversations in ``store``; see ``Chat`` for ``one_model``.

    With ``engine_socket`` the models of this computer run in the process that listens there.

    Raises:
        UnknownFormat: there is no prompt format of the name in the settings.
    """
    if settings.chat.format is not None:
        format_named(settings.chat.format)
    catalog = LocalCatalog(paths)
    engine = RoutedEngine(_local_engine(paths, engine_socket), paths.server_keys_file)
    return Chat(store, engine, settings, paths.cache, catalog, one_model=one_model)


def _local_engine(paths: Paths, socket: Path | None) -> LocalEngine:
    if socket is None:
        return WorkerEngine(paths)
    from baize_tui.engine.shared.shared_engine import SharedEngine  # only for a tab in a browser

    return SharedEngine(socket)


def open_conversations_file(file: Path | None) -> StoreThread:
    """Open the conversations in ``file``, and report on stderr if it was damaged; None keeps them
    in memory.

    Raises:
        StoreError: no permission, or a newer program wrote the file.
    """
    store = open_store(file)
    if store.damaged_file is not None:
        tell(tr(MOVED, file=store.damaged_file))
    return store


def with_store(work: Callable[[StoreThread], Awaitable[T]]) -> T:
    """The result of ``work``, which is called with this user's conversations file.

    Raises:
        StoreError: it cannot be opened.
    """

    async def run() -> T:
        with open_conversations_file(project_paths().conversations_file) as store:
            return await work(store)

    return asyncio.run(run())


def with_conversations(work: Callable[[Conversations], Awaitable[T]]) -> T:
    """The same with this user's conversations.

    Raises:
        StoreError: they cannot be opened.
    """

    async def forget_state(conversation_id: str) -> None:
        forget_conversation(project_paths().snapshots_folder, conversation_id)

    return with_store(lambda store: work(Conversations(store, forget_state)))
