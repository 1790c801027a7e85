"""A tree of messages in the order in which it is read: other branches beside the shown one."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from baize_tui.store.records import BranchPosition, ConversationTree, Message


class Turn(Struct, frozen=True):
    """A message of the branch that is being read."""

    message: Message


class BranchStart(Struct, frozen=True):
    """Another branch begins, with ``message``; its turns follow up to ``BranchEnd``."""

    message: Message
    position: BranchPosition
    """Which of the siblings ``message`` is."""

    @property
    def title(self) -> str:
        kind = "Question" if self.message.role == "user" else "Answer"
        name = f": {self.message.name}" if self.message.name else ""
        return f"{kind} {self.position.position} of {self.position.total}{name}"


class BranchEnd(Struct, frozen=True):
    """The branch that began last has ended."""


Step = Turn | BranchStart | BranchEnd


def shown_path(tree: ConversationTree) -> list[Message]:
    """The branch that is shown, oldest first."""
    by_id = {message.id: message for message in tree.messages}
    path: list[Message] = []
    number = tree.leaf_id
    while number is not None:
        path.append(by_id[number])
        number = by_id[number].parent_id
    return path[::-1]


def walk(tree: ConversationTree) -> Iterator[Step]:
    """All messages: first the branch that is shown, and after each message its siblings, each with
    what is below it. In another branch, the newest messages are its main line."""
    children: dict[int | None, list[Message]] = {}
    for message in tree.messages:
        children.setdefault(message.parent_id, []).append(message)
    shown = {message.id for message in shown_path(tree)}
    # A stack in place of recursion: branches can be nested a thousand times.
    waiting: list[int | BranchStart | BranchEnd | None] = [None]
    while waiting:
        step = waiting.pop()
        if isinstance(step, BranchEnd):
            yield step
        elif isinstance(step, BranchStart):
            yield step
            yield Turn(step.message)
            waiting += [BranchEnd(), step.message.id]
        elif siblings := children.get(step):
            main = next((m for m in siblings if m.id in shown), siblings[-1])
            others = [
                BranchStart(message, BranchPosition(position, len(siblings)))
                for position, message in enumerate(siblings, start=1)
                if message is not main
            ]
            waiting += [main.id, *reversed(others)]
            yield Turn(main)
