"""Adding the conversations of a file: each one whole or not at all, and none a second time."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, field

from baize_shared.sanitizer import clean_line
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.imports.documents import read_documents
from baize_tui.chat.imports.names import NAMES, ImportFormat
from baize_tui.chat.imports.parsed import ImportedConversation
from baize_tui.chat.imports.problems import ImportFailed
from baize_tui.chat.imports.recognition import InvalidRecord, RecognizedFile, recognize
from baize_tui.measures import count_text, counts_text
from baize_tui.shared_texts import NAMED
from baize_tui.store.records import ConversationTree
from baize_tui.translation import msg, tr

_AT_ONCE = 50
"""Conversations of one transaction: between two of them, other clients can write."""
_MOST_SHOWN = 5
"""Invalid conversations that are named; the others are counted."""


class Imported(Struct, frozen=True):
    """A conversation that was added."""

    id: str
    title: str


class ImportSummary(Struct):
    """What an import has done."""

    format: str
    """The format, as a person knows it."""
    imported: list[Imported] = []
    present: int = 0
    """Conversations that are here already, and stay as they are."""
    in_trash: int = 0
    """Those of ``present`` that were deleted here."""
    with_more: int = 0
    """Those of ``present`` of which the file has messages that are not here."""
    invalid: list[InvalidRecord] = []
    placeholders: Counter[str] = field(default_factory=Counter)
    """How much became a placeholder in a text, by what it was."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How much is in no text, by what it was."""


HERE = msg("{count} here already: unchanged")
HERE_OR_DELETED = msg("{count} here already, {deleted} of them deleted: unchanged")
WITH_MORE = msg(
    "{count} of them with more messages in the file: 'sessions import --copies' adds them as new "
    "conversations"
)
ONLY_INVALID = msg("{file}: conversation {place}: {why}")
ALL_INVALID = msg("{file}: conversation {place}: {why} (and {count} more)")
LEFT_OUT = msg("left out conversation {place}: {why}")


def summary_lines(summary: ImportSummary) -> Iterator[str]:
    """What an import has done, in sentences."""
    count = count_text(len(summary.imported), "conversation")
    yield tr("imported {count} from {format}", count=count, format=tr(summary.format))
    if summary.present:
        present = count_text(summary.present, "conversation")
        here = HERE_OR_DELETED if summary.in_trash else HERE
        yield tr(here, count=present, deleted=summary.in_trash)
    if summary.with_more:
        yield tr(WITH_MORE, count=summary.with_more)
    if summary.placeholders:
        yield tr("only named in the texts: {counts}", counts=counts_text(summary.placeholders))
    if summary.left_out:
        yield tr("left out: {counts}", counts=counts_text(summary.left_out))
    for invalid in summary.invalid[:_MOST_SHOWN]:
        place = f"{invalid.place} ({clean_line(invalid.title, 60)})"
        yield tr(LEFT_OUT, place=place if invalid.title else invalid.place, why=invalid.problem)
    if (more := len(summary.invalid) - _MOST_SHOWN) > 0:
        yield tr("left out {count} more that are not valid", count=more)


async def import_file(
    conversations: Conversations,
    path: Path,
    *,
    format: ImportFormat | None = None,
    copies: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> ImportSummary:
    """Add the conversations in ``path`` that are not here.

    ``copies`` also adds those that are here, but with messages that are not: beside the present
    ones. ``report`` is called with the number of conversations that were looked at.

    Raises:
        ImportFailed: the file cannot be read, is of no known format, or no conversation in it is as
            its format says. Nothing was added.
        StoreError: the conversations cannot be written; those before are added.
    """
    files = await asyncio.to_thread(_recognize, path, format)
    adding = _Adding(conversations, ImportSummary(NAMES[files[0].format]), copies)
    await adding.start()
    found = _conversations(files)
    done = 0
    while batch := await asyncio.to_thread(_take, found):
        await adding.add(batch)
        report(done := done + len(batch))
    summary = adding.summary
    if summary.invalid and not summary.imported and not summary.present:
        first = summary.invalid[0]
        raise ImportFailed(
            tr(
                ONLY_INVALID if len(summary.invalid) == 1 else ALL_INVALID,
                file=path,
                place=first.place,
                why=first.problem,
                count=len(summary.invalid) - 1,
            )
        )
    return summary


def _recognize(path: Path, format: ImportFormat | None) -> list[RecognizedFile]:
    try:
        return [recognize(content, format) for content in read_documents(path)]
    except ImportFailed as error:
        if str(error).startswith(clean_line(str(path), 10**6)):
            raise
        raise ImportFailed(tr(NAMED, name=path, why=error)) from error


def _conversations(
    files: list[RecognizedFile],
) -> Iterator[ImportedConversation | InvalidRecord]:
    for file in files:
        yield from file.conversations()


def _take(
    found: Iterator[ImportedConversation | InvalidRecord],
) -> list[ImportedConversation | InvalidRecord]:
    return [item for _, item in zip(range(_AT_ONCE), found, strict=False)]


class _Adding:
    """Adds conversations, and keeps count."""

    def __init__(self, conversations: Conversations, summary: ImportSummary, copies: bool) -> None:
        self._conversations = conversations
        self._copies = copies
        self._deleted: dict[str, bool] = {}
        self.summary = summary

    async def start(self) -> None:
        self._deleted = await self._conversations.deleted_by_id()

    async def add(self, batch: list[ImportedConversation | InvalidRecord]) -> None:
        new: list[ImportedConversation] = []
        for item in batch:
            if isinstance(item, InvalidRecord):
                self.summary.invalid.append(item)
            elif item.tree.id not in self._deleted:
                self._choose(item, new)
            else:
                await self._compare(item, new)
        while new:
            added = await self._conversations.add_trees([item.tree for item in new])
            late: list[ImportedConversation] = []
            for item in new:
                if item.tree.id in added:
                    self._count(item)
                else:  # another program has added it since the start
                    await self._compare(item, late)
            new = late

    def _count(self, item: ImportedConversation) -> None:
        self.summary.imported.append(Imported(item.tree.id, item.tree.title))
        self.summary.placeholders += item.placeholders
        self.summary.left_out += item.left_out

    def _choose(self, item: ImportedConversation, new: list[ImportedConversation]) -> None:
        self._deleted[item.tree.id] = False
        new.append(item)

    async def _compare(self, item: ImportedConversation, new: list[ImportedConversation]) -> None:
        """Count a conversation that is here already; choose a copy if that is wanted."""
        self.summary.present += 1
        self.summary.in_trash += self._deleted[item.tree.id]
        if any(chosen.tree.id == item.tree.id for chosen in new):
            return  # twice in the file, and not yet written
        here = await self._conversations.tree(await self._conversations.get(item.tree.id))
        if not _has_more(item.tree, here):
            return
        self.summary.with_more += 1
        if self._copies:
            copy = _as_copy(item.tree)
            if copy.id not in self._deleted:
                self._choose(msgspec.structs.replace(item, tree=copy), new)


def _has_more(tree: ConversationTree, here: ConversationTree) -> bool:
    """Whether ``tree`` has messages that ``here`` lacks."""
    known = {(message.role, message.text) for message in here.messages}
    return any((message.role, message.text) not in known for message in tree.messages)


def _as_copy(tree: ConversationTree) -> ConversationTree:
    """``tree`` with an id that its content gives: the same content is not copied twice."""
    texts = [tree.id, *(message.text for message in tree.messages)]
    id = hashlib.sha256(msgspec.json.encode(texts)).hexdigest()[:12]
    messages = [msgspec.structs.replace(m, conversation_id=id) for m in tree.messages]
    return msgspec.structs.replace(tree, id=id, messages=messages)
