"""Searching titles, questions, answers and thoughts.

Titles come first, then messages that have the last word as it was typed, then those in which it
goes on; of each, the latest first. The latest are what the index returns first, without looking at
all others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence, Set
from functools import lru_cache
from itertools import islice

import msgspec

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.store.database import Database
from baize_tui.store.excerpts import excerpt_around
from baize_tui.store.months import months_between
from baize_tui.store.records import Place, SearchResult, SearchResults
from baize_tui.store.rows import MARK_NUMBERS, read_adapters, read_tags, read_time
from baize_tui.store.search_index import TABLE, SearchIndex, model_name
from baize_tui.store.search_query import SearchQuery
from baize_tui.store.tags import tag_key
from baize_tui.store.visible import without_deleted
from baize_tui.store.words import Term, word_line

_BATCH = 100
"""Messages that are read at a time."""
_TITLES_OF = 4
"""At most one in so many of the results is a title, so that there is room for messages."""
_COLUMNS = """
SELECT message.id, message.parent_id, message.role, message.text, message.reasoning,
       message.created_at, message.provenance, conversation.id AS conversation_id,
       conversation.title, conversation.archived
"""
_CONDITIONS = """
WHERE conversation.deleted_at IS NULL AND message.deleted_at IS NULL
  AND message.state <> 'streaming'
"""
# CROSS JOIN: the tables are read in the order in which they are written here.
_BY_INDEX = f"""
{_COLUMNS} FROM {TABLE} CROSS JOIN message ON message.id = {TABLE}.rowid
CROSS JOIN conversation ON conversation.id = message.conversation_id {_CONDITIONS}
  AND {TABLE} MATCH ? AND {TABLE}.rowid < ? AND {{filters}} ORDER BY {TABLE}.rowid DESC LIMIT ?
"""
_ALL = f"""
{_COLUMNS} FROM message CROSS JOIN conversation ON conversation.id = message.conversation_id
{_CONDITIONS} AND message.id < ? AND {{filters}} ORDER BY message.id DESC LIMIT ?
"""
_BY_CONVERSATION = f"""
{_COLUMNS} FROM json_each(?) AS chosen CROSS JOIN conversation ON conversation.id = chosen.value
CROSS JOIN message ON message.conversation_id = conversation.id
{_CONDITIONS} AND message.id < ? AND {{filters}} ORDER BY message.id DESC LIMIT ?
"""
_FEW = 50
"""Conversations that are read faster than what the index has of a frequent word."""
_LAST = 1 << 62
"""Above the number of any message."""
_MESSAGE_PLACES: tuple[Place, ...] = ("question", "answer", "thought")


class Searcher:
    """Searches a database."""

    def __init__(self, database: Database, index: SearchIndex) -> None:
        self._database = database
        self._index = index

    def search(
        self, query: SearchQuery, limit: int, domain_names: Set[str] = frozenset()
    ) -> SearchResults:
        """What ``query`` finds, at most ``limit`` results.

        A query for a domain finds conversations with a model or an adapter of ``domain_names``.

        Raises:
            StoreError: the file cannot be read.
        """
        not_indexed = self._index.complete()
        has_index = self._index.exists
        found: list[SearchResult] = []
        if not query.is_empty:
            chosen = self._chosen_ids(query, domain_names)
            found += self._titles(query, chosen, limit)
            found += islice(self._messages(query, chosen), limit + 1 - len(found))
        return SearchResults(
            results=found[:limit],
            is_cut=len(found) > limit,
            not_indexed=not_indexed if has_index else 0,
            has_index=has_index,
        )

    def _chosen_ids(self, query: SearchQuery, names: Set[str]) -> Set[str] | None:
        """The conversations that ``query`` asks for by what they are; None if by nothing.

        Those of its domain have a model or an adapter of ``names``.
        """
        conditions: list[Callable[[sqlite3.Row], bool]] = []
        if query.domain is not None:
            conditions.append(lambda row: _has_one_of(row, names))
        if query.tags:
            conditions.append(lambda row: query.tags <= set(map(tag_key, read_tags(row["tags"]))))
        if query.archived:
            conditions.append(lambda row: bool(row["archived"]))
        if not conditions:
            return None
        rows = self._database.rows("SELECT id, model, adapters, tags, archived FROM conversation")
        return {row["id"] for row in rows if all(fits(row) for fits in conditions)}

    # --- titles ---------------------------------------------------------------------------------

    def _titles(
        self, query: SearchQuery, chosen: Set[str] | None, limit: int
    ) -> Iterator[SearchResult]:
        """The titles of the ``chosen`` conversations, or of all."""
        by_conversation = bool(query.tags) or query.archived
        asks_for_titles = bool(query.terms) or by_conversation or "title" in query.places
        if query.mark is not None or not query.looks_in("title") or not asks_for_titles:
            return
        rows = self._database.rows(
            "SELECT id, title, model, updated_at, archived FROM conversation "
            "WHERE deleted_at IS NULL ORDER BY updated_at DESC, rowid DESC"
        )
        only_titles = query.places == {"title"} or (by_conversation and not query.terms)
        most = limit + 1 if only_titles else max(limit // _TITLES_OF, 1)
        patterns = [term.pattern for term in query.terms]
        fitting = (
            row
            for row in rows
            if (chosen is None or row["id"] in chosen) and _fits_title(query, patterns, row)
        )
        for row in islice(fitting, most):
            title = clean_line(row["title"])
            excerpt, matches = excerpt_around(title, query.terms)
            yield SearchResult(
                conversation_id=row["id"],
                title=title,
                message_id=None,
                place="title",
                model=clean_line(row["model"] or ""),
                time=read_time(row["updated_at"]),
                excerpt=excerpt,
                matches=matches,
                archived=bool(row["archived"]),
            )

    # --- messages -------------------------------------------------------------------------------

    def _messages(self, query: SearchQuery, chosen: Set[str] | None) -> Iterator[SearchResult]:
        """The messages in the ``chosen`` conversations, or in all."""
        if not any(query.looks_in(place) for place in _MESSAGE_PLACES):
            return
        whole = msgspec.structs.replace(query, terms=tuple(term.whole for term in query.terms))
        seen: set[int] = set()
        for variant in dict.fromkeys((whole, query)):
            for rows in self._rows(variant, chosen):
                for row in without_deleted(self._database, rows):
                    if row["id"] not in seen and (place := _place(variant, row)) is not None:
                        seen.add(row["id"])
                        yield _result(row, place, query)

    def _rows(self, query: SearchQuery, chosen: Set[str] | None) -> Iterator[list[sqlite3.Row]]:
        """The rows that ``query`` may find, the latest first, in batches."""
        filters, values = _filters(query)
        first: list[object] = []
        if chosen is not None and len(chosen) <= _FEW:
            statement, first = _BY_CONVERSATION, [_json(sorted(chosen))]
        elif self._index.exists and _needs_index(query):
            statement, first = _BY_INDEX, [_match(query)]
        else:
            statement = _ALL
        if chosen is not None and statement is not _BY_CONVERSATION:
            filters += " AND conversation.id IN (SELECT value FROM json_each(?))"
            values.append(_json(sorted(chosen)))
        before = _LAST
        while True:
            rows = self._database.rows(
                statement.format(filters=filters), *first, before, *values, _BATCH
            )
            yield [row for row in rows if _is_by_model(query, row)]
            if len(rows) < _BATCH:
                return
            before = rows[-1]["id"]


def _result(row: sqlite3.Row, place: Place, query: SearchQuery) -> SearchResult:
    text = row["reasoning"] if place == "thought" else row["text"]
    excerpt, matches = excerpt_around(clean_text(text), query.terms)
    return SearchResult(
        conversation_id=row["conversation_id"],
        title=clean_line(row["title"]),
        message_id=row["id"],
        place=place,
        model=clean_line(model_name(row["provenance"])),
        time=read_time(row["created_at"]),
        excerpt=excerpt,
        matches=matches,
        archived=bool(row["archived"]),
    )


def _has_one_of(row: sqlite3.Row, names: Set[str]) -> bool:
    """Whether a conversation has a model or an adapter of ``names``."""
    adapters = read_adapters(row["adapters"])
    return row["model"] in names or any(scale and n in names for n, scale in adapters.items())


def _json(values: Sequence[object]) -> str:
    """A list as a value for SQLite's ``json_each``."""
    return msgspec.json.encode(values).decode()


# --- the query ------------------------------------------------------------------------------------


def _needs_index(query: SearchQuery) -> bool:
    return query.has_dates or bool(query.terms or query.model or query.mark)


def _match(query: SearchQuery) -> str:
    """The query for the index."""
    parts = []
    if query.terms:
        terms = " AND ".join(map(_expression, query.terms))
        places = [place for place in _MESSAGE_PLACES if query.looks_in(place)]
        # In quotation marks, and without any in them: no word is an operator.
        parts.append("(" + " OR ".join(f"({place} : ({terms}))" for place in places) + ")")
    if query.model is not None:
        parts.append(f"(model : ({_expression(query.model)}))")
    if query.mark is not None:
        parts.append(f'(mark : "{query.mark}")')
    if query.has_dates:
        months = " OR ".join(f'"{word}"' for word in months_between(query.after, query.before))
        parts.append(f"(month : ({months}))")
    return " AND ".join(parts)


def _expression(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + (" *" if term.prefix else "")


def _filters(query: SearchQuery) -> tuple[str, list[object]]:
    """A condition for the tables, and its values."""
    conditions, values = ["TRUE"], list[object]()
    if query.after is not None:
        conditions.append("message.created_at >= ?")
        values.append(query.after)
    if query.before is not None:
        conditions.append("message.created_at < ?")
        values.append(query.before)
    if query.mark is not None:
        conditions.append("message.mark = ?")
        values.append(MARK_NUMBERS[query.mark])
    return " AND ".join(conditions), values


# --- checks ---------------------------------------------------------------------------------------


def _place(query: SearchQuery, row: sqlite3.Row) -> Place | None:
    """Which text of a message the query finds; None if it is none."""
    first: Place = "question" if row["role"] == "user" else "answer"
    if query.looks_in(first) and _fits(query.terms, row["text"]):
        return first
    thought = row["reasoning"]
    if query.looks_in("thought") and thought and _fits(query.terms, thought):
        return "thought"
    return None


def _fits(terms: Sequence[Term], text: str) -> bool:
    if not terms:
        return True
    line = word_line(text)
    return all(term.pattern in line for term in terms)


@lru_cache(maxsize=1 << 14)
def _title_line(title: str) -> str:
    return word_line(title)


def _fits_title(query: SearchQuery, patterns: Sequence[str], row: sqlite3.Row) -> bool:
    line = _title_line(row["title"])
    return (
        all(pattern in line for pattern in patterns)
        and (query.model is None or query.model.pattern in word_line(row["model"] or ""))
        and (query.after is None or row["updated_at"] >= query.after)
        and (query.before is None or row["updated_at"] < query.before)
    )


def _is_by_model(query: SearchQuery, row: sqlite3.Row) -> bool:
    if query.model is None:
        return True
    return query.model.pattern in word_line(model_name(row["provenance"]))
