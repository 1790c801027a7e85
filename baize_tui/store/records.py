"""What the rows of the conversations file contain; ``baize_tui.store`` explains how they relate."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from baize_shared.speeds import decoding_speed
from baize_tui.output_forms import CheckedForm, OutputForm
from baize_tui.settings import Overflow
from baize_tui.translation import msg

MessageRole = Literal["user", "assistant"]
FinalState = Literal["complete", "stopped", "interrupted", "failed"]
"""How an answer can end."""
MessageState = Literal["streaming"] | FinalState
Mark = Literal["good", "bad"]
MARK_NAMES: dict[Mark, str] = {"good": msg("good"), "bad": msg("bad")}
"""What a person is told, as messages."""
TitleSource = Literal["none", "question", "model", "person"]
"""Where the title of a conversation came from: there is none yet, the first question, a model, or a
person; from the worst source to the best."""


class Conversation(Struct, frozen=True):
    """A tree of messages and what the person chose for it; times are seconds since 1970, UTC."""

    id: str
    title: str
    created_at: float
    updated_at: float
    leaf_id: int | None
    context_start: int | None
    model: str | None
    system: str
    moderation: bool
    format: str | None
    sampling: dict[str, Any] = {}
    """Fields of ``Sampling`` that are set for this conversation."""
    overflow: Overflow | None = None
    adapters: dict[str, float] = {}
    """Scale of each adapter over the model, by name."""
    model_path: str | None = None
    """The file of the model; ``model`` is what it was called. None in old conversations."""
    model_sha256: str | None = None
    """The hash of that file; None while it is unknown."""
    think: bool | None = None
    """Whether the model thinks before it answers; None leaves it to the settings."""
    title_source: TitleSource = "none"
    tags: list[str] = []
    """Names to find it by, as ``tags.clean_tags`` has them."""
    pinned: bool = False
    """Whether it stays at the top of the list."""
    archived: bool = False
    """Whether it is left out of the list. It is still found, and comes back with a new message."""
    persona: str = ""
    """The name of the persona whose settings it was given; they are its own since then."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, beside those of the format and the model."""


class ListedConversation(Struct, frozen=True, gc=False):
    """What a list shows of a conversation; thousands are read at once."""

    id: str
    title: str
    title_source: TitleSource
    updated_at: float
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    deleted_at: float | None = None


class Attachment(Struct, frozen=True):
    """The part of a message's text that came from a file: characters ``start`` to ``end``."""

    name: str
    start: int
    end: int
    tokens: int = 0
    note: str = ""
    """What the person has to know about it, such as that it was cut."""


class AnswerSummary(Struct, frozen=True):
    """How an answer was made, as far as it is shown below it: the fields of ``Provenance``."""

    model: str
    adapters: dict[str, float] = {}
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    resumed_tokens: int = 0
    thinking_tokens: int = 0
    ttft_s: float = 0.0
    decode_s: float = 0.0
    form: CheckedForm | None = None
    """The form that the answer had to have, if there was one."""

    @property
    def thinking_seconds(self) -> float:
        """About how long the thought took; 0 if that is unknown."""
        speed = self.tokens_per_second
        return self.thinking_tokens / speed if speed else 0.0

    @property
    def seconds(self) -> float:
        """From the request to the last token."""
        return self.ttft_s + self.decode_s

    @property
    def tokens_per_second(self) -> float:
        """0 if it is unknown."""
        return decoding_speed(self.completion_tokens - self.resumed_tokens, self.decode_s)


class Message(Struct, frozen=True):
    """A question or an answer. ``ids`` are the tokens that were generated, in the vocabulary whose
    fingerprint is ``tokenizer``; a text that a person wrote has none."""

    id: int
    conversation_id: str
    parent_id: int | None
    role: MessageRole
    state: MessageState
    text: str
    reasoning: str
    ids: list[int] | None
    tokenizer: str | None
    created_at: float
    provenance: dict[str, Any] | None
    mark: Mark | None = None
    """What the person thinks of an answer."""
    pinned: bool = False
    """Whether its turn stays in the context when the oldest turns are dropped."""
    made: AnswerSummary | None = None
    """A part of ``provenance``, which is also there where the whole was not read."""
    summary: str = ""
    """What the model is told in place of the turns above this message, where it no longer sees
    them; it belongs to every branch that contains the message."""
    name: str = ""
    """What the person calls the branch that begins with this message."""
    attachments: tuple[Attachment, ...] = ()
    """The parts of a question that came from files, in order."""
    form: OutputForm | None = None
    """The form that answers to this question have to have."""

    @property
    def tokens_used(self) -> int | None:
        """Tokens of the context after this answer, if it was generated and they are known."""
        made = self.provenance or {}
        counts = [made.get(key) for key in ("prompt_tokens", "completion_tokens")]
        known = [count for count in counts if isinstance(count, int)]
        return sum(known) if len(known) == len(counts) else None


class ConversationTree(Conversation, frozen=True, kw_only=True):
    """A conversation with the messages of all its branches, each after its parent.

    The messages are numbered from 1 on, and every number in the tree means one of them: so a tree
    is the same in every file.
    """

    messages: list[Message]


class Paste(Struct, frozen=True):
    """What the prompt treats as one object: a long pasted text, the text of a file, or the form
    that the answer has to have."""

    text: str = ""
    name: str = ""
    """The name of the file; empty for a pasted text."""
    tokens: int = 0
    note: str = ""
    """As in ``Attachment``."""
    form: OutputForm | None = None
    """With a form, there is no text."""


DraftParts = tuple[str | Paste, ...]
"""What a person has written: typed texts and objects, in order."""


def parts_text(parts: DraftParts) -> str:
    """The whole text of ``parts``."""
    return "".join(part.text if isinstance(part, Paste) else part for part in parts)


UnsentKind = Literal["draft", "edit", "summary", "recalled", "queued"]
"""A new message, a new version of a saved message or of the summary above it, a changed copy of an
earlier message, or a message that waits for the end of an answer."""


class Unsent(Struct, frozen=True):
    """Words that are not sent yet."""

    id: str
    kind: UnsentKind
    conversation_id: str | None
    """None for a conversation that is not created yet."""
    parts: DraftParts
    message_id: int | None = None
    """The message that is edited, or whose summary is."""
    is_open: bool = False
    """Whether the edit was in the prompt."""


Place = Literal["title", "question", "answer", "thought"]
"""A text that can be searched."""


class SearchResult(Struct, frozen=True):
    """A title or a message that was found."""

    conversation_id: str
    title: str
    """Of the conversation."""
    message_id: int | None
    """None for a title."""
    place: Place
    model: str
    """What gave the answer; empty if that is unknown, and for a question."""
    time: float
    """When the message was written, or the conversation was last used; seconds since 1970, UTC."""
    excerpt: str
    """A line of the text around the first match."""
    matches: tuple[tuple[int, int], ...]
    """The characters of ``excerpt`` that match: where each match begins and ends."""
    archived: bool = False
    """Whether its conversation is archived."""


class SearchResults(Struct, frozen=True):
    """What was found, the best first."""

    results: list[SearchResult]
    is_cut: bool
    """Whether there are more."""
    not_indexed: int
    """Messages that could not be found yet."""
    has_index: bool
    """False if every message was read instead, because this SQLite has no FTS5."""


class BranchStart(Struct, frozen=True):
    """The message that a branch begins with, as far as it is shown."""

    id: int
    role: MessageRole
    state: MessageState
    text: str
    """Its beginning."""
    created_at: float
    model: str
    """What gave the answer; empty for a question, and if that is unknown."""
    mark: Mark | None
    name: str
    """What the person calls the branch."""


class BranchPosition(NamedTuple):
    """Which of several siblings a message is, counted from 1."""

    position: int
    total: int


class BranchRow(Struct, frozen=True):
    """A branch in the list of all: from a message to where the conversation branches next."""

    start: BranchStart
    position: BranchPosition
    guides: tuple[bool, ...]
    """For the branch and those that it is below, outermost first: whether another one follows at
    the same place."""
    messages: int
    end_id: int
    """Its last message."""
    leaf_id: int
    """The newest message of this branch and all that leave it."""
    shown: bool
    """Whether it is a part of what is shown."""


class AnswerContent(Struct, frozen=True):
    """The generated part of message ``message_id`` so far."""

    message_id: int
    text: str
    reasoning: str
    ids: list[int]
    tokenizer: str | None


class Provenance(Struct, frozen=True):
    """How an answer was made; enough to repeat it."""

    model: str
    model_path: str
    model_bytes: int
    model_sha256: str | None
    format: str
    adapters: dict[str, float]
    sampling: dict[str, Any]
    seed: int
    threads: int
    threads_batch: int
    gpu_layers: int
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_s: float
    prefill_s: float
    decode_s: float
    finish_reason: str
    """One of the engine's ``FinishReason``."""
    backend: str
    baize_tui: str
    profile: str = ""
    """Name of the machine profile: which features of llama.cpp were off on this machine."""
    flash_attention: bool = True
    kv_type: str = "f16"
    draft: str = ""
    """The file of the draft model that guessed tokens; empty for none."""
    guessed_tokens: int = 0
    accepted_tokens: int = 0
    server: str = ""
    """The host that answered; empty for a model on this computer."""
    summary: str = ""
    """What the model was told in place of turns that no longer fit."""
    shifted: bool = False
    """Whether the KV cache had been shifted, which reading the prompt again would not repeat."""
    thinking_tokens: int = 0
    """Those of ``completion_tokens`` that are the thought."""
    resumed_tokens: int = 0
    """Those of ``completion_tokens`` from a worker that died; the times do not include them."""
    form: CheckedForm | None = None
    """The form that the answer had to have, if there was one."""
    form_source: str = ""
    """Its JSON schema, regular expression or GBNF."""
    stop: tuple[str, ...] = ()
    """The strings that would have ended it, beside those of the format and the model."""

    @property
    def shown(self) -> AnswerSummary:
        """What is shown below the answer."""
        return msgspec.convert(self, AnswerSummary, from_attributes=True)
