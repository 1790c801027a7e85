"""What the conversation screen shows, and which answers are in progress."""

from __future__ import annotations

from msgspec import Struct, field

from baize_tui.app.conversation.answer_pace import AnswerPace
from baize_tui.app.transcript.look import join_parts
from baize_tui.app.widgets.status_line import ANSWERING, THINKING
from baize_tui.chat.context import ContextUse
from baize_tui.engine.protocol import Stats
from baize_tui.store.records import Conversation, Message
from baize_tui.translation import tr


class LiveAnswer(Struct, eq=False):
    """An answer in progress."""

    message: Message
    drawn: bool = True
    """Whether the screen shows all of it."""
    thinking: bool = False
    """Whether the model is in its thought."""
    reading: bool = False
    """Whether the prompt is being read again, by another worker after one died."""
    pace: AnswerPace = field(default_factory=AnswerPace)
    slowed: str = ""
    """Why it has fewer threads than it could have; empty if it has all."""

    @property
    def status(self) -> str:
        """What the status line says while it grows."""
        work = tr(THINKING) if self.thinking else tr(ANSWERING)
        return join_parts([work, self.pace.text, self.slowed])


class ViewState(Struct, eq=False):
    """Plain data that the objects of the screen share."""

    conversation: Conversation | None = None
    """The open conversation; None before the first message of a new one."""
    editing: Message | None = None
    """The message whose text, or summary, is in the prompt to be edited."""
    edits_summary: bool = False
    """Whether it is the summary of what is above that message."""
    context: ContextUse | None = None
    """The context of the open conversation; None if that is unknown."""
    last_stats: Stats | None = None
    """How the last answer was generated, if that was since the conversation was opened."""
    live: dict[str, LiveAnswer | None] = {}
    """Turns in progress in all conversations, by id; None until the answer begins."""
    waiting: dict[str, str] = {}
    """What the turns wait for that wait for the engine, by the id of the conversation."""
    problems: dict[str, str] = {}
    """Problems that last, such as a full disk; see ``Surface.begin_problem``."""

    @property
    def open_id(self) -> str | None:
        return self.conversation.id if self.conversation is not None else None

    @property
    def is_answering(self) -> bool:
        """Whether a turn is in progress in the open conversation."""
        return self.open_id in self.live

    @property
    def can_change(self) -> bool:
        """Whether the messages of the open conversation can be edited, deleted or switched."""
        return self.conversation is not None and not self.is_answering

    def open(self, conversation: Conversation | None) -> None:
        """Another conversation is shown; None for a new one."""
        self.conversation = conversation
        self.editing, self.edits_summary = None, False
        self.last_stats, self.context = None, None
