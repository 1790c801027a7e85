"""A question with the names of its files in place of their texts."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text

from baize_tui.measures import count_text
from baize_tui.store.records import Attachment, Message
from baize_tui.translation import tr

MARK = "▤"


def chip_text(attachment: Attachment) -> str:
    """What stands for an attachment."""
    tokens = f" · {count_text(attachment.tokens, 'token')}" if attachment.tokens else ""
    cut = f" · {tr('cut')}" if "cut:" in attachment.note else ""
    return f"{MARK} {attachment.name}{tokens}{cut}"


def short_text(message: Message) -> str:
    """The text of ``message`` with a chip for each attachment."""
    return chips_as_text(message, Style()).plain


def chips_as_text(message: Message, style: Style) -> Text:
    """The same with the chips in ``style``."""
    text, end = Text(), 0
    for attachment in message.attachments:
        text.append(message.text[end : attachment.start])
        text.append(chip_text(attachment), style)
        end = attachment.end
    text.append(message.text[end:])
    return text
