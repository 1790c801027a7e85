"""What is written in one conversation and not sent: the draft, edits over it, and the queue."""

from __future__ import annotations

import uuid

from msgspec import Struct, field

from baize_tui.app.widgets.prompt import Composition
from baize_tui.store.draft_parts import as_written
from baize_tui.store.records import DraftParts, Message, UnsentKind, parts_text


def new_id() -> str:
    return uuid.uuid4().hex


class Layer(Struct, eq=False):
    """One text that is being written. The prompt shows the top layer of a conversation."""

    kind: UnsentKind = "draft"
    id: str = field(default_factory=new_id)
    message: Message | None = None
    """The message that an edit replaces, or whose summary it replaces."""
    start: DraftParts = ()
    """What it began with: an edit that still equals it need not be stored."""
    parts: DraftParts = ()
    """What it was when it was last in the prompt."""
    composition: Composition | None = None
    """The same as the prompt put it away; None before it is first shown."""
    stored: DraftParts = ()
    """What the store has; empty if it has nothing."""
    stored_open: bool = False
    """Whether the store has it as an open edit."""

    @property
    def to_store(self) -> DraftParts:
        """What the store should have."""
        written, start = as_written(self.parts), as_written(self.start)
        is_changed = parts_text(self.parts) != parts_text(self.start) or written.form != start.form
        return self.parts if is_changed and parts_text(self.parts).strip() else ()


class Queued(Struct, frozen=True):
    """A message that waits for the end of an answer."""

    parts: DraftParts
    id: str = field(default_factory=new_id)


class ConversationDrafts(Struct, eq=False):
    """All that is not sent in one conversation."""

    conversation_id: str | None
    """None for the conversation that is not created yet."""
    layers: list[Layer] = field(default_factory=lambda: [Layer()])
    """The draft of the next message first; the prompt shows the last."""
    closed_edits: dict[tuple[UnsentKind, int], Layer] = {}
    """Edits that were begun and left, by what is edited and the number of the message."""
    queue: list[Queued] = []
    waits: bool = False
    """Whether the queue waits for the person, also when an answer ends."""
    left: list[Layer] = []
    """Earlier messages that were recalled, changed and not sent, the latest first."""
    recalled: int = -1
    """Which of ``left`` and the earlier messages below them is in the prompt; -1 for none."""
    obsolete: list[str] = []
    """Ids in the store whose words are now part of others."""

    @property
    def draft(self) -> Layer:
        return self.layers[0]

    @property
    def top(self) -> Layer:
        return self.layers[-1]
