"""Which format a file has, and the conversations in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.chat.exports.json_file import FORMAT
from baize_tui.chat.imports import documents
from baize_tui.chat.imports.baize_corpus import MARKER, parse_baize
from baize_tui.chat.imports.chatgpt import parse_chatgpt
from baize_tui.chat.imports.claude import parse_claude
from baize_tui.chat.imports.json_file import parse_session, split_sessions
from baize_tui.chat.imports.names import NAMES, ImportFormat
from baize_tui.chat.imports.open_webui import parse_open_webui
from baize_tui.chat.imports.parsed import ImportedConversation, ParsedConversation, to_tree
from baize_tui.chat.imports.placeholders import Placeholders
from baize_tui.chat.imports.problems import ImportFailed, InvalidConversation
from baize_tui.chat.imports.sharegpt import parse_sharegpt
from baize_tui.translation import tr

_PARSERS: dict[str, Callable[[Raw, Placeholders], ParsedConversation]] = {
    "chatgpt": parse_chatgpt,
    "claude": parse_claude,
    "open-webui": parse_open_webui,
    "sharegpt": parse_sharegpt,
    "baize": parse_baize,
}


class InvalidRecord(Struct, frozen=True):
    """A conversation that is not as its format says."""

    place: int
    """Which one of its file, counted from 1."""
    title: str
    problem: str


class RecognizedFile(Struct, frozen=True):
    """The records of a file, which are decoded one by one."""

    format: ImportFormat
    records: list[Raw]

    def conversations(self) -> Iterator[ImportedConversation | InvalidRecord]:
        """Each conversation, or why it is none."""
        for place, record in enumerate(self.records, start=1):
            try:
                yield _parse(record, self.format)
            # OverflowError: a number with hundreds of digits where a float is expected.
            except (*JSON_ERRORS, InvalidConversation, OverflowError) as error:
                yield InvalidRecord(place, _title(record), str(error) or "it is nested too deeply")


class _Keys(Struct):
    """The keys that tell the formats apart."""

    format: Any = None
    mapping: Raw | UnsetType = UNSET
    chat_messages: Raw | UnsetType = UNSET
    chat: Raw | UnsetType = UNSET
    history: Raw | UnsetType = UNSET
    conversations: Raw | UnsetType = UNSET
    conversation: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    items: Raw | UnsetType = UNSET
    models: Raw | UnsetType = UNSET
    input: Any = None


class _Titled(Struct):
    title: str | None = None
    name: str | None = None


def recognize(content: bytes, format: ImportFormat | None = None) -> RecognizedFile:
    """The conversations in the file ``content``; ``format`` is its format, else it is recognized.

    Raises:
        ImportFailed: it is no JSON, or of none of the formats.
    """
    records = documents.split_records(content)
    if not records:
        raise ImportFailed(tr("it has no conversations"))
    known = _first_format(records)
    if known is None and len(records) == 1 and (inner := _unwrap(records[0])):
        records, known = inner, _first_format(inner)
    elif known is None and _is_turn(records[0]):  # the list is one conversation
        records, known = [Raw(b"[" + b",".join(map(bytes, records)) + b"]")], "sharegpt"
    if (format or known) is None:
        raise ImportFailed(
            tr(
                "it has none of the known formats: {formats}",
                formats=", ".join(map(tr, NAMES.values())),
            )
        )
    if (format or known) == "json":
        try:
            records = split_sessions(records[0])
        except JSON_ERRORS as error:
            raise ImportFailed(tr("it is no export of baize-tui: {why}", why=error)) from error
    return RecognizedFile(format or known or "json", records)


def _first_format(records: list[Raw]) -> ImportFormat | None:
    return next((found for record in records[:100] if (found := _format(record))), None)


def _unwrap(record: Raw) -> list[Raw]:
    """The conversations in an object that has nothing else, under one of the usual names."""
    try:
        wrapper = msgspec.json.decode(record, type=_Wrapper)
    except JSON_ERRORS:
        return []
    lists = (wrapper.data, wrapper.chats)
    return next((inner for inner in lists if inner and _first_format(inner)), [])


def _format(record: Raw) -> ImportFormat | None:
    if _are_turns(record):
        return "sharegpt"
    try:
        keys = msgspec.json.decode(record, type=_Keys)
    except JSON_ERRORS:
        return None
    if keys.format == FORMAT:
        return "json"
    if keys.mapping is not UNSET:
        return "chatgpt"
    if keys.chat_messages is not UNSET:
        return "claude"
    if keys.chat is not UNSET or keys.history is not UNSET:
        return "open-webui"
    if keys.models is not UNSET and keys.messages is not UNSET:
        return "open-webui"  # one of its first versions
    turns = (keys.conversations, keys.conversation, keys.messages, keys.items)
    if any(map(_are_turns, turns)):
        return "sharegpt"
    if isinstance(keys.input, str) and MARKER.search(keys.input):
        return "baize"
    return None


class _Wrapper(Struct):
    data: list[Raw] | None = None
    chats: list[Raw] | None = None


class _Turn(Struct):
    speaker: Raw | UnsetType = field(name="from", default=UNSET)
    role: Raw | UnsetType = UNSET


def _is_turn(record: Raw) -> bool:
    return _are_turns(Raw(b"[" + bytes(record) + b"]"))


def _are_turns(value: Raw | UnsetType) -> bool:
    """Whether ``value`` is a list of which the first element says who speaks; it may be empty."""
    if value is UNSET:
        return False
    try:
        elements = msgspec.json.decode(value, type=list[Raw])
        first = msgspec.json.decode(elements[0], type=_Turn) if elements else None
    except JSON_ERRORS:
        return False
    return first is None or first.speaker is not UNSET or first.role is not UNSET


def _parse(record: Raw, format: ImportFormat) -> ImportedConversation:
    if len(memoryview(record)) > documents.LARGEST_RECORD:
        raise InvalidConversation(
            tr("it has more than {count} MB", count=documents.LARGEST_RECORD // 10**6)
        )
    if format == "json":
        return parse_session(record)
    placeholders = Placeholders()
    parsed = _PARSERS[format](record, placeholders)
    return ImportedConversation(to_tree(parsed), placeholders.counts, placeholders.left_out)


def _title(record: Raw) -> str:
    """The title of a conversation that cannot be read, if that at least can be."""
    try:
        titled = msgspec.json.decode(record, type=_Titled)
    except JSON_ERRORS:
        return ""
    return titled.title or titled.name or ""
