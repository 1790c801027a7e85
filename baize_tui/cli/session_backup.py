"""``baize-tui sessions backup`` and ``restore``."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from baize_shared.printing import print_json
from baize_shared.sizes import size_text
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.export_files import check_replaces_nothing
from baize_tui.cli.failures import CommandError, offering_force
from baize_tui.cli.open_chat import with_conversations
from baize_tui.cli.output import tell
from baize_tui.measures import count_text
from baize_tui.paths import project_paths
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

HERE = msg("{count} here already: unchanged")
WITH_MORE = msg(
    "{count} of them with messages in the backup that are not here: --copies adds them as new "
    "conversations"
)


def back_up_sessions(target: Path, *, force: bool, json: bool) -> None:
    """Write a backup to ``target``, or into it if it is a folder.

    Raises:
        CommandError, FileExists, StoreError: as their messages say.
    """
    if target.is_dir():
        target = target / time.strftime("conversations-%Y%m%d-%H%M%S.db")
    own = project_paths().conversations_file
    if target.resolve().parent == own.resolve().parent and target.name.startswith(own.name):
        raise CommandError(
            tr("{file} is the conversations file itself; name another one", file=target)
        )
    with offering_force():
        check_replaces_nothing(target, force=force)

    async def back_up(conversations: Conversations) -> tuple[int, int]:
        size = await conversations.back_up(target)
        return size, len(await conversations.deleted_by_id())

    try:
        size, count = with_conversations(back_up)
    except OSError as error:
        raise CommandError(file_error(target, error)) from error
    if json:
        print_json({"file": str(target), "bytes": size, "conversations": count})
    else:
        conversations = count_text(count, "conversation")
        tell(tr("{file}: {count}, {size}", file=target, count=conversations, size=size_text(size)))


def restore_sessions(backup: Path, *, copies: bool, json: bool) -> None:
    """Add what is in ``backup`` and not here, and say what was added.

    Raises:
        StoreError: it is not a backup, or the conversations cannot be written.
    """
    result = with_conversations(lambda conversations: conversations.restore(backup, copies=copies))
    if json:
        print_json({"file": str(backup), **msgspec.to_builtins(result)})
        return
    tell(tr("restored {count}", count=count_text(result.restored, "conversation")))
    if result.present:
        tell(tr(HERE, count=count_text(result.present, "conversation")))
    if result.with_more and not copies:
        tell(tr(WITH_MORE, count=result.with_more))
