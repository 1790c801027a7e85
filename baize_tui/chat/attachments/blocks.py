"""The text of files as the model reads it: each between two tags, cut where it is too long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.finding import find_files
from baize_tui.chat.attachments.reading import FileText, read_file
from baize_tui.measures import count_text
from baize_tui.shared_texts import NAMED
from baize_tui.translation import msg, tr

CUT = "[cut here: {left_out} of {total} characters are left out]"
_LEAST_TOKENS = 16
"""With less room, nothing useful of a file fits."""
_LONGEST_TOKEN = 16
"""Characters; a text that is longer than this for each token of the room surely has to be cut."""

CountTokens = Callable[[str], Awaitable[int]]


class ReadFiles(Struct, frozen=True):
    """The files that a path stands for."""

    name: str
    files: tuple[FileText, ...]
    skipped: tuple[str, ...] = ()
    """Why files of a folder or of a pattern are not among them."""

    @property
    def secret(self) -> str:
        """One line about a file that looks like a secret; empty if none does."""
        for file in self.files:
            if file.secret:
                return tr("{name} looks like a secret ({why})", name=file.name, why=tr(file.secret))
        return ""


CUT_NOTE = msg("cut: {left_out} of {total} characters are left out")
NO_ROOM = msg("{name}: there is no room for it in the context")


def read_files(path: str, folder: Path) -> ReadFiles:
    """The files that ``path`` stands for, seen from ``folder``.

    Of a folder or a pattern, files that are no text or look like a secret are skipped.

    Raises:
        AttachmentFailed: a single file cannot be attached, or none of several can.
    """
    found = find_files(path, folder)
    if len(found) == 1 and found[0][1] == path:
        return ReadFiles(clean_line(path, 80), (read_file(*found[0]),))
    files: list[FileText] = []
    skipped: list[str] = []
    for file, name in found:
        try:
            read = read_file(file, name)
        except AttachmentFailed as error:
            skipped.append(str(error))
            continue
        if read.secret:
            why = tr("looks like a secret ({why})", why=tr(read.secret))
            skipped.append(tr(NAMED, name=read.name, why=why))
        else:
            files.append(read)
    if not files:
        raise AttachmentFailed(
            tr("{path}: no file in it can be attached: {why}", path=path, why=skipped[0])
        )
    count = count_text(len(files), "file")
    name = tr("{folder} ({count})", folder=clean_line(path, 60), count=count)
    return ReadFiles(name, tuple(files), tuple(skipped))


class FittedText(Struct, frozen=True):
    """The text of files as far as it fits."""

    text: str
    tokens: int
    notes: tuple[str, ...] = ()


async def fit_files(read: ReadFiles, room: int, count: CountTokens) -> FittedText:
    """The text of ``read`` in at most ``room`` tokens; a line in it says what is left out.

    Raises:
        AttachmentFailed: there is no room for it.
    """
    if room < _LEAST_TOKENS:
        raise AttachmentFailed(tr(NO_ROOM, name=read.name))
    several = len(read.files) > 1
    notes = [
        f"{file.name} {note}" if several else note for file in read.files for note in file.notes
    ]
    if read.skipped:
        first, others = read.skipped[0], len(read.skipped) - 1
        skipped = tr("skipped {first} and {count} more", first=first, count=others)
        notes.append(skipped if others else tr("skipped {first}", first=first))
    total = sum(len(file.text) + file.left_out for file in read.files)
    kept = min(total, room * _LONGEST_TOKEN)
    while True:
        text = _blocks(read.files, kept, total)
        tokens = await count(text)
        if tokens <= room:
            break
        kept = min(int(kept * room / tokens * 0.97), kept - 1)
        if kept <= 0:
            raise AttachmentFailed(tr(NO_ROOM, name=read.name))
    if kept < total:
        left_out = f"{total - kept:,}"
        notes.append(
            tr(
                "cut: {left_out} of {total} characters are left out",
                left_out=left_out,
                total=f"{total:,}",
            )
        )
    return FittedText(text, tokens, tuple(notes))


def _blocks(files: Sequence[FileText], kept: int, total: int) -> str:
    """The files one below the other, with ``kept`` characters of ``total``."""
    blocks: list[str] = []
    room = kept
    for file in files:
        if room <= 0 and blocks:
            break
        text = file.text[:room].rstrip("\n")
        room -= len(file.text) + file.left_out
        if room < 0:
            left_out = f"{total - kept:,}"
            text += "\n" + CUT.format(left_out=left_out, total=f"{total:,}")
        name = file.name.replace('"', "'")
        blocks.append(f'<file name="{name}">\n{text}\n</file>')
    return "\n".join(blocks)
