"""This program's own JSON, which ``chat.exports.json_file`` writes."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from baize_shared.sanitizer import clean_line, clean_values
from baize_tui.chat.exports.json_file import VERSION
from baize_tui.chat.imports.parsed import ImportedConversation, conversation_id
from baize_tui.chat.imports.problems import ImportFailed, InvalidConversation
from baize_tui.chat.imports.times import LATEST
from baize_tui.chat.imports.tree_order import in_tree_order
from baize_tui.settings import Scale, SettingsError, merge_sampling
from baize_tui.store.records import ConversationTree, Message
from baize_tui.store.tags import clean_tags
from baize_tui.translation import msg, tr

_ID = re.compile("[0-9a-f]{12}")
_LARGEST_TOKEN = 2**31 - 1


class _Head(Struct):
    format: str
    version: int
    sessions: list[Raw]


NEWER = msg("a newer baize-tui wrote it (version {version}; this one reads {known})")


def split_sessions(content: Raw) -> list[Raw]:
    """The conversations in a file, each as JSON.

    Raises:
        ImportFailed: a newer program wrote it.
        msgspec.ValidationError: it is no such file.
    """
    head = msgspec.json.decode(content, type=_Head)
    if head.version > VERSION:
        raise ImportFailed(tr(NEWER, version=head.version, known=VERSION))
    return head.sessions


class _Node(Struct, frozen=True):
    message: Message
    key: str
    parent: str | None
    created_at: None = None
    """The order of the file is the order of the messages, whatever their times."""


def parse_session(record: Raw) -> ImportedConversation:
    """The conversation in ``record``, an element of the list ``sessions``.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    tree = msgspec.convert(clean_values(msgspec.json.decode(record)), ConversationTree)
    _check(tree)
    nodes = [
        _Node(
            message, str(message.id), None if message.parent_id is None else str(message.parent_id)
        )
        for message in tree.messages
    ]
    messages = [node.message for node in in_tree_order(nodes)]
    numbers: dict[int | None, int | None] = {None: None}
    numbers.update({message.id: number for number, message in enumerate(messages, start=1)})
    if tree.leaf_id not in numbers or tree.context_start not in numbers:
        raise InvalidConversation(tr("a message that it points to is missing"))
    id = tree.id if _ID.fullmatch(tree.id) else conversation_id("JSON", tree.id)
    return ImportedConversation(
        msgspec.structs.replace(
            tree,
            id=id,
            title=clean_line(tree.title),
            tags=clean_tags(tree.tags),
            leaf_id=numbers[tree.leaf_id],
            context_start=numbers[tree.context_start],
            messages=[
                msgspec.structs.replace(
                    message,
                    id=number,
                    parent_id=numbers[message.parent_id],
                    conversation_id=id,
                    name=clean_line(message.name),
                    state="interrupted" if message.state == "streaming" else message.state,
                )
                for number, message in enumerate(messages, start=1)
            ],
        )
    )


def _check(tree: ConversationTree) -> None:
    """Refuse what the store cannot keep."""
    times = [tree.created_at, tree.updated_at, *(message.created_at for message in tree.messages)]
    if not all(0 <= time <= LATEST for time in times):
        raise InvalidConversation(tr("a time is not between 1970 and 9999"))
    try:
        merge_sampling(tree.sampling)
        msgspec.convert(tree.adapters, dict[str, Scale])
    except (SettingsError, msgspec.ValidationError) as error:
        raise InvalidConversation(str(error)) from error
    ids = (id for message in tree.messages for id in message.ids or ())
    if not all(0 <= id <= _LARGEST_TOKEN for id in ids):
        raise InvalidConversation(tr("a token has no possible id"))
