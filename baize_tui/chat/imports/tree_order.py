"""Messages that name the one before them, as a tree: each after its parent, the oldest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.translation import tr


class Node(Protocol):
    """A message of a tree."""

    @property
    def key(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def created_at(self) -> float | None:
        """None for a message that follows the one before it in the file."""


AnyNode = TypeVar("AnyNode", bound=Node)


def in_tree_order(nodes: Sequence[AnyNode]) -> list[AnyNode]:
    """``nodes`` with each parent before its children, and else by time, or as in the file.

    Raises:
        InvalidConversation: two have the same key, a parent is missing, or parents form a circle.
    """
    places = {node.key: place for place, node in enumerate(nodes)}
    if len(places) != len(nodes):
        raise InvalidConversation(tr("two messages have the same id"))
    children: dict[str | None, list[AnyNode]] = {}
    for node in nodes:
        if node.parent is not None and node.parent not in places:
            raise InvalidConversation(tr("the message before {id} is missing", id=node.key))
        children.setdefault(node.parent, []).append(node)
    ordered = list(_by_time(children, places))
    if len(ordered) != len(nodes):
        raise InvalidConversation(tr("its messages form a circle"))
    return ordered


def _by_time(
    children: dict[str | None, list[AnyNode]], places: dict[str, int]
) -> Iterator[AnyNode]:
    waiting: list[tuple[float, int, AnyNode]] = []

    def wait_for_turn(nodes: Iterable[AnyNode], earliest: float) -> None:
        for node in nodes:
            time = earliest if node.created_at is None else max(node.created_at, earliest)
            heapq.heappush(waiting, (time, places[node.key], node))

    wait_for_turn(children.get(None, ()), 0.0)
    while waiting:
        time, _, node = heapq.heappop(waiting)
        yield node
        wait_for_turn(children.get(node.key, ()), time)
