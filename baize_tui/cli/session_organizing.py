"""``baize-tui sessions tag``, ``pin``, ``archive`` and ``purge``."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence

import typer

from baize_shared.printing import print_json
from baize_tui.chat.conversations import Conversations
from baize_tui.cli.failures import CommandError
from baize_tui.cli.open_chat import with_conversations
from baize_tui.cli.output import tell
from baize_tui.cli.sessions_output import conversation_json
from baize_tui.measures import count_text
from baize_tui.store.records import Conversation
from baize_tui.store.tags import split_tags
from baize_tui.translation import tr


def tag_session(session: str, texts: Sequence[str], *, remove: bool, json: bool) -> None:
    """Add the tags in ``texts`` to a conversation, or remove them, and say which it has then.

    Raises:
        typer.BadParameter: no text is a tag.
        StoreError: there is no such conversation, or it cannot be written.
    """
    tags = split_tags(" ".join(texts))
    if not tags:
        raise typer.BadParameter(tr("a tag is a word, such as: work"))

    async def change(conversations: Conversations, id: str) -> None:
        added, removed = ((), tags) if remove else (tags, ())
        await conversations.change_tags(id, add=added, remove=removed)

    changed = _change(session, change, json=json)
    if not json:
        if changed.tags:
            own = ", ".join(changed.tags)
            tell(tr("{id} has the tags {tags}", id=changed.id, tags=own))
        else:
            tell(tr("{id} has no tags", id=changed.id))


def pin_session(session: str, *, pinned: bool, json: bool) -> None:
    """Pin a conversation, or unpin it.

    Raises:
        StoreError: there is no such conversation, or it cannot be written.
    """
    _change(session, lambda conversations, id: conversations.set_pinned(id, pinned), json=json)


def archive_session(session: str, *, archived: bool, json: bool) -> None:
    """Archive a conversation, or put it back into the list.

    Raises:
        StoreError: there is no such conversation, or it cannot be written.
    """
    _change(session, lambda conversations, id: conversations.set_archived(id, archived), json=json)


def _change(
    session: str, change: Callable[[Conversations, str], Awaitable[None]], *, json: bool
) -> Conversation:
    """Change a conversation, and print it as it is then if that is asked for."""

    async def change_one(conversations: Conversations) -> Conversation:
        id = (await conversations.get(session)).id
        await change(conversations, id)
        return await conversations.get(id)

    changed = with_conversations(change_one)
    if json:
        print_json(conversation_json(changed))
    return changed


def purge_sessions(sessions: Sequence[str], *, everything: bool, yes: bool, json: bool) -> None:
    """Remove deleted conversations for good, and say how many; asks before, unless ``yes``.

    Raises:
        typer.BadParameter: neither ids nor all are given, or both.
        CommandError: one is not deleted; or nobody can be asked.
        StoreError: there is no such conversation, or they cannot be removed.
    """
    if bool(sessions) == everything:
        raise typer.BadParameter(tr("give ids of conversations, or --all"))
    ids = with_conversations(lambda conversations: _deleted_ids(conversations, sessions))
    count = count_text(len(ids), "conversation")
    if ids and not yes:
        _confirm(count)
    removed = with_conversations(lambda conversations: conversations.purge(ids))
    if json:
        print_json({"purged": removed})
    elif removed:
        tell(tr("removed {count} for good", count=count_text(len(removed), "conversation")))
    else:
        tell(tr("no conversation is deleted"))


async def _deleted_ids(conversations: Conversations, sessions: Sequence[str]) -> list[str]:
    """The ids of the deleted conversations that ``sessions`` name; of all if that is empty."""
    deleted = [listed.id for listed in await conversations.deleted()]
    if not sessions:
        return deleted
    chosen = [(await conversations.get(session)).id for session in sessions]
    for id in chosen:
        if id not in deleted:
            raise CommandError(
                tr("{id} is not deleted; first: baize-tui sessions delete {id}", id=id)
            )
    return chosen


def _confirm(count: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            tr("this removes {count} for good: add --yes to do it without a question", count=count)
        )
    if not typer.confirm(tr("Remove {count} for good?", count=count), err=True):
        raise CommandError(tr("nothing was removed"))
