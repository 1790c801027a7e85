"""What a person types to search: words, phrases and filters."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import TypeVar, get_args

from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.store.records import Mark, Place
from baize_tui.store.tags import clean_tag, tag_key
from baize_tui.store.words import Term
from baize_tui.translation import msg, tr

T = TypeVar("T")

PLACES: tuple[Place, ...] = get_args(Place)
NONE_OF = msg("{filter} is none of {known}")
NO_DATE = msg("{name}:{value} is no date, such as {name}:2026, {name}:2026-01 or {name}:2026-01-31")
_PART = re.compile(
    r"""
    (?P<empty>model|domain|tag|after|before|in|is):(?=\s|$)
    | (?:(?P<name>model|domain|tag|after|before|in|is):)?
      (?: "(?P<quoted>[^"]*)(?P<end>"\*?)? | (?P<plain>\S+) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ARCHIVED = "archived"
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


class InvalidQuery(OneLineError):
    """A filter has a value that it does not take; the message is one line."""


class SearchQuery(Struct, frozen=True):
    """What is searched: texts with all ``terms``, which every filter lets through."""

    terms: tuple[Term, ...] = ()
    places: frozenset[Place] = frozenset()
    """Where to look; empty is everywhere."""
    model: Term | None = None
    """Words of the model's name."""
    domain: str | None = None
    after: float | None = None
    """The earliest time, in seconds since 1970, UTC."""
    before: float | None = None
    """The first time that is too late."""
    mark: Mark | None = None
    tags: frozenset[str] = frozenset()
    """Tags that the conversation has all of, as ``tag_key`` makes them."""
    archived: bool = False
    """Whether only archived conversations are searched."""

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return self == SearchQuery()

    @property
    def has_dates(self) -> bool:
        return self.after is not None or self.before is not None

    def looks_in(self, place: Place) -> bool:
        return not self.places or place in self.places


def parse_query(text: str) -> SearchQuery:
    """The query that a person typed; any text is one.

    Raises:
        InvalidQuery: a filter has a value that it does not take.
    """
    terms: list[Term | None] = []
    values: dict[str, list[str]] = {}
    last_word = -1
    for part in _PART.finditer(clean_text(text)):
        if part["empty"]:
            values.setdefault(part["empty"].lower(), []).append("")
            continue
        quoted, plain = part["quoted"], part["plain"]
        value = plain if quoted is None else quoted
        if part["name"]:
            values.setdefault(part["name"].lower(), []).append(value)
        elif quoted is None:
            last_word = len(terms)
            terms.append(Term.of(value, prefix=value.endswith("*")))
        else:
            # A quotation mark that is still open: the phrase is being typed.
            terms.append(Term.of(value, prefix=part["end"] != '"'))
    if last_word == len(terms) - 1 >= 0 and (last := terms[-1]) is not None:
        terms[-1] = Term(last.words, len(last.words[-1]) > 1)
    kinds = [_kind(value) for value in values.get("is", ())]
    return SearchQuery(
        terms=tuple(dict.fromkeys(term for term in terms if term is not None)),
        places=frozenset(place for value in values.get("in", ()) for place in _places(value)),
        model=_last(values, "model", _model),
        domain=_last(values, "domain", _domain),
        after=_last(values, "after", lambda value: _time("after", value)),
        before=_last(values, "before", lambda value: _time("before", value)),
        mark=next((mark for mark in reversed(kinds) if mark is not None), None),
        tags=frozenset(_tag(value) for value in values.get("tag", ())),
        archived=None in kinds,
    )


def _last(values: dict[str, list[str]], name: str, read: Callable[[str], T]) -> T | None:
    return read(values[name][-1]) if name in values else None


def _places(value: str) -> list[Place]:
    names = [name for name in value.lower().split(",") if name]
    places = [place for place in PLACES if place in names]
    if not names or len(places) != len(set(names)):
        known = ", ".join(f"in:{place}" for place in PLACES)
        raise InvalidQuery(tr(NONE_OF, filter=f"in:{_quoted(value)}", known=known))
    return places


def _model(value: str) -> Term:
    term = Term.of(value, prefix=True)
    if term is None:
        raise InvalidQuery(tr("model: needs a part of a model's name, such as model:baize"))
    return term


def _domain(value: str) -> str:
    if not value.strip():
        raise InvalidQuery(tr("domain: needs a field, such as domain:healthcare"))
    return value.strip().casefold()


def _tag(value: str) -> str:
    if not (tag := clean_tag(value)):
        raise InvalidQuery(tr("tag: needs a tag of a conversation, such as tag:work"))
    return tag_key(tag)


def _kind(value: str) -> Mark | None:
    """The mark, or None for archived conversations."""
    if value.lower() == _ARCHIVED:
        return None
    for mark in get_args(Mark):
        if value.lower() == mark:
            chosen: Mark = mark
            return chosen
    known = "is:good, is:bad, is:archived"
    raise InvalidQuery(tr(NONE_OF, filter=f"is:{_quoted(value)}", known=known))


def _time(name: str, value: str) -> float:
    """The first moment of a year, month or day."""
    match = _DATE.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(number or 1) for number in match.groups())
        return datetime.datetime(year, month, day).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidQuery(tr(NO_DATE, name=name, value=_quoted(value))) from error


def _quoted(value: str) -> str:
    return clean_line(value, 30)
