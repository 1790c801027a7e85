"""Searching all conversations; needs no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from baize_tui.chat.store_thread import StoreThread
from baize_tui.store.records import SearchResults

if TYPE_CHECKING:
    from baize_tui.store.search_query import SearchQuery

NamesInDomain = Callable[[str], Set[str]]
"""Gives the names of the models and adapters of a domain, and raises ``CatalogError`` for one that
none is made for."""


class Search:
    """Finds titles and messages. Every method may raise ``StoreError``."""

    def __init__(self, store_thread: StoreThread, names_in_domain: NamesInDomain) -> None:
        self._thread = store_thread
        self._store = store_thread.store
        self._names_in_domain = names_in_domain

    async def find(self, text: str, limit: int) -> tuple[SearchQuery, SearchResults]:
        """The query in ``text``, and at most ``limit`` results.

        Raises:
            InvalidQuery, CatalogError: a filter has a value that it does not take.
        """
        from baize_tui.store.search_query import parse_query

        query = parse_query(text)
        names: Set[str] = frozenset()
        if query.domain is not None:  # reads the recipes
            names = await asyncio.to_thread(self._names_in_domain, query.domain)
        return query, await self._thread.call(self._search, query, limit, names)

    def _search(self, query: SearchQuery, limit: int, names: Set[str]) -> SearchResults:
        return self._store.searcher.search(query, limit, names)

    async def index_more(self) -> int:
        """Index some of the messages that cannot be found yet; returns how many are left."""
        return await self._thread.call(self._store.search_index.update)
