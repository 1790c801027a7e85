"""Searching all conversations: results appear while the person types."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text
from textual import getters
from textual.app import ComposeResult
from textual.widgets import Static
from textual.worker import Worker

from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.widgets.status_line import fitted
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.search import Search
from baize_tui.measures import count_text
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Place, SearchResult, SearchResults
from baize_tui.store.search_query import InvalidQuery, SearchQuery
from baize_tui.store.words import Span, Term
from baize_tui.translation import msg, tr

TITLE = msg("Search all conversations")
PLACEHOLDER = msg('Words, or a "phrase"')
FILTERS = (
    "in:title in:question in:answer in:thought · is:good is:archived · tag:work · model:baize · "
    "domain:healthcare · after:2026-01 before:2026-02-15"
)
NOTHING = msg("Nothing found")
ARCHIVED = msg("archived")
NO_INDEX = msg("Every message is read, which takes longer: this Python's SQLite has no FTS5")
LIMIT = 50
_PLACES: dict[Place, str] = {
    "title": msg("title"),
    "question": msg("question"),
    "answer": msg("answer"),
    "thought": msg("thought"),
}
_TYPING_S = 0.03
"""How long to wait for another key before the search begins."""
_INDEXING_S = 0.3
"""How long to wait before a search is repeated because messages have been indexed."""
_BESIDE_ROW = 3
"""Cells beside a row: a margin on each side, and the scrollbar."""
_LEAST_TITLE = 20
"""Cells that a title has at least."""
_AFTER_MATCH = 8
"""Characters after the first match that are in sight."""
_GROUP = "search"


class FoundText(Struct, frozen=True):
    """The result that the person chose, and what was searched."""

    result: SearchResult
    terms: tuple[Term, ...]


class SearchScreen(Picker[FoundText]):
    """Asks for a title or a message; the result is None when the person cancels."""

    DEFAULT_CSS = """
    SearchScreen {
        .dialog {
            width: 110;
        }
        OptionList {
            max-height: 50vh;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
        #found {
            margin: 1 0 0 0;
        }
    }
    """
    _about = getters.query_one("#found", Static)

    def __init__(self, search: Search, text: str = "") -> None:
        """``text`` is what is searched at first."""
        super().__init__(tr(TITLE), (), placeholder=PLACEHOLDER, typed=text)
        self._search_all = search
        self._searched: str | None = None
        """What the results on the screen were searched with."""
        self._is_awaited = False
        """Whether Enter was pressed before its results were there."""

    def _below_choices(self) -> ComposeResult:
        yield Static(FILTERS, id="found", classes="about", markup=False)

    def _fill(self, query: str) -> None:
        self._is_awaited = False

        async def find() -> None:
            await asyncio.sleep(_TYPING_S)
            await self._find(query)

        _: Worker[None] = self.run_worker(find, group=_GROUP, exclusive=True)

    async def _find(self, text: str) -> None:
        """Search, and search again while there are messages that cannot be found yet."""
        first = True
        while True:
            try:
                query, found = await self._search_all.find(text, LIMIT)
            except (InvalidQuery, CatalogError, StoreError) as error:
                if self.is_attached:
                    self._about.update(str(error))
                return
            if not self.is_attached:
                return  # it was closed meanwhile
            self._show_results(query, found, keep_place=not first)
            self._searched = text
            if self._is_awaited:
                self._is_awaited = False
                await self._choose()
            if not found.not_indexed:
                return
            first = False
            await asyncio.sleep(_INDEXING_S)

    def _show_results(self, query: SearchQuery, found: SearchResults, *, keep_place: bool) -> None:
        choices = [Choice(FoundText(r, query.terms), r.excerpt) for r in found.results]
        at = self._options.highlighted
        before = self._matches[at] if keep_place and at is not None else None
        if choices != [*self._matches]:
            self._show(choices)
            if before in choices:
                self._options.highlighted = choices.index(before)
        self._about.update(_about(query, found))

    async def _take_typed(self, text: str) -> bool:
        # A fast typist sees the results of a few letters and means those of all.
        self._is_awaited = text != self._searched
        return self._is_awaited

    def _row(self, choice: Choice[FoundText]) -> Text:
        return result_row(choice.value.result, self._options.content_size.width - _BESIDE_ROW)

    def on_resize(self) -> None:
        at = self._options.highlighted
        self._show(self._matches)
        self._options.highlighted = at


def _about(query: SearchQuery, found: SearchResults) -> str:
    """What there is to say about the results."""
    parts = []
    if query.is_empty:
        parts.append(FILTERS)
    elif not found.results:
        parts.append(tr(NOTHING))
    else:
        count = count_text(len(found.results), "result")
        parts.append(tr("the first {count}", count=count) if found.is_cut else count)
    if found.not_indexed:
        older = count_text(found.not_indexed, "older message")
        parts.append(tr("{messages} still to be indexed", messages=older))
    if not found.has_index:
        parts.append(tr(NO_INDEX))
    return " · ".join(parts)


def result_row(result: SearchResult, width: int) -> Text:
    """Two lines of at most ``width`` cells: where a text is, and the part of it that was found."""
    day = f"{datetime.datetime.fromtimestamp(result.time):%Y-%m-%d}"
    model = result.model if result.place != "title" else ""
    archived = tr(ARCHIVED) if result.archived else ""
    about = " · ".join(part for part in (archived, tr(_PLACES[result.place]), model, day) if part)
    if cell_len(about) > width - _LEAST_TITLE:
        about = " · ".join(part for part in (archived, tr(_PLACES[result.place]), day) if part)
    room = max(width - cell_len(about) - 2, 1)
    if result.place == "title":
        row = _with_matches(result.excerpt, result.matches, room)
    else:
        row = Text(fitted(result.title, room))
    row.pad_right(max(room - row.cell_len, 0) + 2)
    row.append(about, "dim")
    if result.place != "title":
        row.append("\n  ")
        row.append_text(_with_matches(result.excerpt, result.matches, max(width - 2, 1)))
    return row


def _with_matches(text: str, matches: Sequence[Span], width: int) -> Text:
    """``text`` in at most ``width`` cells, from a little before the first match on."""
    row = Text(text)
    for start, end in matches:
        row.stylize("bold underline", start, end)
    first, end = matches[0] if matches else (0, 0)
    if cell_len(text[: end + _AFTER_MATCH]) > width:
        row = Text("…") + row[max(first - width // 4, 0) :]
    row.truncate(width, overflow="ellipsis")
    return row
