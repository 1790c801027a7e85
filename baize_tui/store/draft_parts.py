"""What a person has written becomes a message, and a message becomes what can be edited."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from baize_tui.output_forms import OutputForm
from baize_tui.store.records import Attachment, DraftParts, Message, Paste


class WrittenMessage(Struct, frozen=True):
    """A message that a person has written."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    form: OutputForm | None = None


def as_written(parts: DraftParts) -> WrittenMessage:
    """The message that ``parts`` are, without blanks around it.

    Of several forms, the last one counts.
    """
    text, form = "", None
    attachments: list[Attachment] = []
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        start = len(text)
        text += part.text
        if part.name and part.text.strip():
            attachments.append(
                Attachment(part.name, start, len(text), tokens=part.tokens, note=part.note)
            )
        form = part.form or form
    shift = len(text) - len(text.lstrip())
    text = text.strip()
    moved = (
        Attachment(a.name, max(a.start - shift, 0), min(a.end - shift, len(text)), a.tokens, a.note)
        for a in attachments
    )
    return WrittenMessage(text, tuple(moved), form)


def message_parts(message: Message) -> DraftParts:
    """``message`` to be edited: its attachments and its form are objects."""
    parts: list[str | Paste] = []
    if message.form is not None:
        parts.append(Paste(name=message.form.name, form=message.form))
    end = 0
    for attachment in message.attachments:
        parts.append(message.text[end : attachment.start])
        text = message.text[attachment.start : attachment.end]
        parts.append(Paste(text, attachment.name, attachment.tokens, attachment.note))
        end = attachment.end
    parts.append(message.text[end:])
    return tuple(part for part in parts if part != "")


def short_text(message: Message) -> str:
    """The text of ``message`` with the names of its files in place of their texts."""
    parts = (part for part in message_parts(message) if isinstance(part, str) or part.text)
    return "".join(p if isinstance(p, str) else f"[{p.name}: {p.tokens} tokens]" for p in parts)


def valid_attachments(attachments: Iterable[Attachment], text: str) -> tuple[Attachment, ...]:
    """Those of ``attachments`` that are parts of ``text``, in order and apart from each other."""
    valid: list[Attachment] = []
    end = 0
    for attachment in sorted(attachments, key=lambda attachment: attachment.start):
        if end <= attachment.start < attachment.end <= len(text):
            valid.append(attachment)
            end = attachment.end
    return tuple(valid)
