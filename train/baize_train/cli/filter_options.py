"""The options that choose filters, and what their limits are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from baize_shared.typed_text import typed_text
from baize_train.corpus.quality import FILTER_NAMES, FilterName, Limits
from baize_train.errors import TrainError

_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which filters drop a dialogue. An option that sets a limit turns its filter on."""

    filter: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Turn a filter on: {', '.join(FILTER_NAMES)}, or {_ALL}.", parser=typed_text
        ),
    ] = None
    no_filter: Annotated[
        list[str] | None, typer.Option(help=f"Turn a filter off, or {_ALL}.", parser=typed_text)
    ] = None
    language: Annotated[
        str | None,
        typer.Option(help="Only dialogues in this language, such as en.", parser=typed_text),
    ] = None
    least_words: Annotated[int | None, typer.Option(min=1, help="Fewest words of an answer.")] = (
        None
    )
    most_words: Annotated[int | None, typer.Option(min=1, help="Most words of an answer.")] = None


def choose_filters(
    options: FilterOptions, usual: Iterable[FilterName], *, more: Iterable[FilterName] = ()
) -> frozenset[FilterName]:
    """The ``usual`` filters with the changes of ``options``; ``more`` are turned on by options of
    the command.

    Raises:
        TrainError: there is no such filter.
    """
    chosen = set(usual) | set(more) | _named(options.filter or [], "--filter")
    if options.language is not None:
        chosen.add("language")
    if options.least_words is not None or options.most_words is not None:
        chosen.add("length")
    return frozenset(chosen - _named(options.no_filter or [], "--no-filter"))


def filter_limits(options: FilterOptions, min_turns: int = 1) -> Limits:
    """The limits of the filters."""
    return Limits(
        min_turns=min_turns,
        min_words=options.least_words or 0,
        max_words=options.most_words,
        language=(options.language or "").lower(),
    )


def _named(names: Iterable[str], option: str) -> set[FilterName]:
    known: dict[str, FilterName] = {name: name for name in FILTER_NAMES}
    chosen: set[FilterName] = set()
    for name in names:
        if name == _ALL:
            chosen |= set(FILTER_NAMES)
        elif name in known:
            chosen.add(known[name])
        else:
            raise TrainError(f"{option} {name}: there is no such filter; {', '.join(known)}")
    return chosen
