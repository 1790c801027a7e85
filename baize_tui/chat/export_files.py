"""Writing conversations to files: private, atomically, and never over another file unasked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.existing_paths import exists, is_file, is_folder
from baize_shared.one_line_error import OneLineError
from baize_shared.private_files import private_folder
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.exports.rendering import Format
from baize_tui.chat.exports.words import file_name
from baize_tui.shared_texts import file_error
from baize_tui.store.records import Conversation, ConversationTree
from baize_tui.translation import tr


class ExportFailed(OneLineError):
    """Nothing, or not everything, was exported; the message is the line for the person."""


class FileExists(ExportFailed):
    """A file would be replaced, and nobody asked for that."""

    def __init__(self, file: Path) -> None:
        super().__init__(tr("{file} exists already", file=file))


class Exported(Struct, frozen=True):
    """What was written."""

    files: list[Path]
    conversations: int
    left_out: Counter[str]
    """How much the format has no room for, by what it is."""


def check_replaces_nothing(path: Path, *, force: bool) -> None:
    """Refuse to write a file over another one, unless ``force`` is given.

    Raises:
        FileExists: there is a file. What is none, such as ``/dev/stdout``, may be written to.
    """
    if not force and is_file(path):
        raise FileExists(path)


async def render(
    conversations: Conversations, chosen: Sequence[Conversation], format: Format
) -> tuple[bytes, Counter[str]]:
    """The content of one file with ``chosen``, and how much it has no room for.

    Raises:
        StoreError: they cannot be read.
    """
    trees = [await conversations.tree(conversation) for conversation in chosen]
    return await asyncio.to_thread(_render, trees, format)


async def export_one(
    conversations: Conversations,
    conversation: Conversation,
    format: Format,
    target: Path,
    *,
    force: bool,
) -> Exported:
    """Write ``conversation`` to ``target``, or into it if it is a folder.

    Raises:
        ExportFailed: the file exists already or cannot be written.
        StoreError: the conversation cannot be read.
    """
    if is_folder(target):
        target = target / file_name(conversation, format.suffix)
    return await _export_together(conversations, [conversation], format, target, force=force)


async def export_all(
    conversations: Conversations,
    listed: Sequence[Conversation],
    format: Format,
    target: Path,
    *,
    force: bool,
) -> Exported:
    """Write ``listed`` to ``target``: a file, or a folder with a file for each of them if the
    format has room for one. The folder is created if necessary.

    Raises:
        ExportFailed: a file exists already with another content, or cannot be written; those before
            it are written.
        StoreError: the conversations cannot be read.
    """
    if format.one_each:
        return await _export_one_each(conversations, listed, format, target, force=force)
    if is_folder(target):
        target = target / f"conversations{format.suffix}"
    return await _export_together(conversations, listed, format, target, force=force)


async def _export_together(
    conversations: Conversations,
    chosen: Sequence[Conversation],
    format: Format,
    target: Path,
    *,
    force: bool,
) -> Exported:
    check_replaces_nothing(target, force=force)
    content, left_out = await render(conversations, chosen, format)
    await asyncio.to_thread(_write, target, content)
    return Exported([target], len(chosen), left_out)


async def _export_one_each(
    conversations: Conversations,
    chosen: Sequence[Conversation],
    format: Format,
    folder: Path,
    *,
    force: bool,
) -> Exported:
    if exists(folder) and not is_folder(folder):
        raise ExportFailed(
            tr("{folder} is not a folder, which several conversations need", folder=folder)
        )
    targets = [folder / file_name(conversation, format.suffix) for conversation in chosen]
    written = set() if force else await _written_before(conversations, chosen, format, targets)
    try:
        private_folder(folder)
    except OSError as error:
        raise ExportFailed(file_error(folder, error)) from error
    left_out: Counter[str] = Counter()
    for conversation, target in zip(chosen, targets, strict=True):
        content, missing = await render(conversations, [conversation], format)
        if target not in written:
            await asyncio.to_thread(_write, target, content)
        left_out += missing
    return Exported(targets, len(chosen), left_out)


async def _written_before(
    conversations: Conversations,
    chosen: Sequence[Conversation],
    format: Format,
    targets: Sequence[Path],
) -> set[Path]:
    """Those of ``targets`` that have their content already, as an export leaves them that was
    killed: the same command goes on with the others.

    Raises:
        FileExists: a file has another content.
    """
    written = set()
    for conversation, target in zip(chosen, targets, strict=True):
        if is_file(target):
            content, _ = await render(conversations, [conversation], format)
            if not await asyncio.to_thread(_contains, target, content):
                raise FileExists(target)
            written.add(target)
    return written


def _contains(target: Path, content: bytes) -> bool:
    try:
        return target.stat().st_size == len(content) and target.read_bytes() == content
    except OSError:  # what cannot be read is not known to be the same
        return False


def _render(trees: list[ConversationTree], format: Format) -> tuple[bytes, Counter[str]]:
    return format.render(trees), format.left_out(trees)


def _write(target: Path, content: bytes) -> None:
    try:
        write_atomically(target, content)
    except OSError as error:
        raise ExportFailed(file_error(target, error)) from error
