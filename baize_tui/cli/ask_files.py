"""The files that ``baize-tui ask`` is given: ``--attach``, and ``@path`` in the question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from baize_shared.existing_paths import exists
from baize_shared.user_paths import expand_user
from baize_tui.chat.attaching import LooksSecret
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.finding import is_pattern, mentions_in
from baize_tui.chat.chat import Chat
from baize_tui.cli.failures import CommandError
from baize_tui.cli.output import tell
from baize_tui.store.draft_parts import WrittenMessage, as_written
from baize_tui.store.records import Conversation, DraftParts, Paste, parts_text
from baize_tui.translation import tr

_AFTER_PATH = ".,;:!?)"
"""What may follow a path in a sentence."""
_BETWEEN = "\n\n"


class AskedFiles(Struct, frozen=True):
    """A question in parts, in which paths stand for the files that belong there."""

    parts: tuple[str | Path, ...]

    @property
    def typed(self) -> str:
        """The question with the names of its files, for the title; empty without files."""
        if not any(isinstance(part, Path) for part in self.parts):
            return ""
        return "".join(part if isinstance(part, str) else part.name for part in self.parts)


def find_asked_files(argument: str, below: str, attached: Sequence[str]) -> AskedFiles:
    """The question ``argument`` with the files that it names as ``@path``, those of ``attached``,
    and the text ``below``, which came through a pipe.

    ``@name`` stays text if there is no such file.
    """
    parts: list[str | Path] = []
    end = 0
    for start, stop, path in mentions_in(argument):
        written = path
        if not _is_there(written):
            written = path.rstrip(_AFTER_PATH)
        if not written or not _is_there(written):
            continue
        after = "" if argument[start + 1] == '"' else path[len(written) :]
        parts += [argument[end:start], Path(written), after]
        end = stop
    parts.append(argument[end:])
    for path in attached:
        parts += [_BETWEEN, Path(path)]
    if below:
        parts += [_BETWEEN, below]
    return AskedFiles(tuple(part for part in parts if part != ""))


def _is_there(path: str) -> bool:
    return exists(expand_user(path)) or (is_pattern(path) and "/" in path)


async def attach_asked_files(
    chat: Chat, conversation: Conversation, asked: AskedFiles, *, insists: bool
) -> WrittenMessage:
    """The question with the text of its files. What a person has to know is printed to stderr.

    ``insists`` attaches what looks like a secret.

    Raises:
        CommandError: a file cannot be attached.
    """
    parts: DraftParts = ()
    for part in asked.parts:
        if isinstance(part, str):
            parts = (*parts, part)
            continue
        try:
            attached = await chat.attaching.attach(
                str(part), Path.cwd(), conversation, parts_text(parts), allow_secret=insists
            )
        except AttachmentFailed as error:
            raise CommandError(str(error)) from error
        except LooksSecret as error:
            raise CommandError(
                tr("{why}: --attach-secrets attaches it anyway", why=error)
            ) from error
        for note in attached.notes:
            tell(note)
        tell(_attached(attached.paste))
        parts = (*parts, attached.paste)
    return as_written(parts)


def _attached(paste: Paste) -> str:
    return tr("attached {name}: {count} tokens", name=paste.name, count=f"{paste.tokens:,}")
