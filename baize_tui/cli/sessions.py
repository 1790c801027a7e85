"""``baize-tui sessions``: the commands on conversations and their options; needs no model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.printing import print_json, print_line
from baize_shared.typed_text import typed_text
from baize_tui.catalog.domains import names_in_domain
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.exports.rendering import ExportFormat
from baize_tui.chat.imports.names import ImportFormat
from baize_tui.chat.search import Search
from baize_tui.chat.store_thread import StoreThread
from baize_tui.cli.completion import complete_deleted_session, complete_session
from baize_tui.cli.flags import Json
from baize_tui.cli.open_chat import with_conversations, with_store
from baize_tui.cli.output import progress_line, tell, warn_about_encoding
from baize_tui.cli.session_export import ExportOptions, TrainingKind, export_sessions
from baize_tui.cli.sessions_output import (
    conversation_json,
    list_line,
    search_json,
    search_lines,
    transcript_json,
    transcript_parts,
)
from baize_tui.measures import count_text
from baize_tui.paths import project_paths
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, Message, SearchResults
from baize_tui.store.search_query import InvalidQuery, parse_query
from baize_tui.store.tags import split_tags, tag_key
from baize_tui.translation import msg, tr

NO_INDEX = msg("this Python's SQLite has no FTS5: every message is read, which takes longer")

sessions = typer.Typer(
    no_args_is_help=True,
    help="List, show, search, tag, archive, export, import, back up and delete conversations.",
)

Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
Copies = Annotated[
    bool,
    typer.Option(
        "--copies",
        help="Also add conversations that are here, but lack messages of the file: as copies.",
    ),
]

SessionId = Annotated[
    str,
    typer.Argument(
        help="The id, or its beginning.", autocompletion=complete_session, parser=typed_text
    ),
]
DeletedSessionId = Annotated[
    str,
    typer.Argument(
        help="The id, or its beginning.", autocompletion=complete_deleted_session, parser=typed_text
    ),
]
Off = Annotated[bool, typer.Option("--off", help="Undo it.")]


@sessions.command("list")
def list_sessions(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Those that are archived.")] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those with this tag, archived ones included; may be repeated.",
            parser=typed_text,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """The conversations, the last used first; archived ones only with an option."""
    if deleted and archived:
        raise typer.BadParameter(tr("give --deleted or --archived, not both"))
    tags = {tag_key(name) for text in tag or () for name in split_tags(text)}
    if tag and not tags:
        raise typer.BadParameter(tr("a tag is a word, such as --tag work"))
    every = with_conversations(lambda conversations: conversations.list_all(deleted=deleted))
    listed = [
        conversation
        for conversation in every
        if tags <= set(map(tag_key, conversation.tags))
        and (conversation.archived if archived else deleted or tags or not conversation.archived)
    ]
    if json:
        print_json({"sessions": [conversation_json(conversation) for conversation in listed]})
        return
    warn_about_encoding()
    for conversation in listed:
        print_line(list_line(conversation))
    if not listed:
        tell(_nothing_listed(deleted=deleted, archived=archived, tagged=bool(tags)))


def _nothing_listed(*, deleted: bool, archived: bool, tagged: bool) -> str:
    if tagged and deleted:
        return tr("no deleted conversation has this tag")
    if tagged and archived:
        return tr("no archived conversation has this tag")
    if tagged:
        return tr("no conversation has this tag")
    if deleted:
        return tr("no conversation is deleted")
    return tr("no conversation is archived") if archived else tr("no conversations yet")


@sessions.command()
def show(session: SessionId, json: Json = False) -> None:
    """Print one conversation, along the branch that is shown."""

    async def read(conversations: Conversations) -> tuple[Conversation, list[Message]]:
        conversation = await conversations.get(session)
        return conversation, await conversations.shown_messages(conversation.id)

    conversation, messages = with_conversations(read)
    if json:
        print_json(transcript_json(conversation, messages))
        return
    warn_about_encoding()
    for part in transcript_parts(conversation, messages):
        print_line(part)


@sessions.command()
def search(
    query: Annotated[
        list[str],
        typer.Argument(
            help='Words, "phrases" and filters: tag:, model:, domain:, after:, before:, is:good, '
            "is:archived, in:title|question|answer|thought.",
            parser=typed_text,
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most results.")] = 20,
    json: Json = False,
) -> None:
    """Find words in titles, questions, answers and thoughts."""
    text = " ".join(query)
    try:
        parse_query(text)
    except InvalidQuery as error:
        raise typer.BadParameter(str(error)) from error

    async def find(store: StoreThread) -> SearchResults:
        paths = project_paths()
        search = Search(store, lambda domain: names_in_domain(domain, paths))
        await _index_all(search)
        _, results = await search.find(text, limit)
        return results

    found = with_store(find)
    if not found.has_index:
        tell(tr(NO_INDEX))
    if json:
        print_json(search_json(found))
        return
    warn_about_encoding()
    for line in search_lines(found, bold=sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        print(line)
    if not found.results:
        tell(tr("nothing found"))
    elif found.is_cut:
        tell(tr("these are the first {limit}; --limit shows more", limit=limit))


async def _index_all(search: Search) -> None:
    """Make every message one that can be found, as far as the file can be written."""
    total, left = 0, 1
    with progress_line() as progress:
        while left:
            try:
                left = await search.index_more()
            except StoreError:
                return  # it can still be searched, unless it cannot be read either
            total = max(total, left)
            if total:
                count = count_text(total, "message")
                progress.show(tr("indexing: {done} of {count}", done=total - left, count=count))


@sessions.command("export")
def export_command(
    session: Annotated[
        str | None,
        typer.Argument(
            help="The id, or its beginning.", autocompletion=complete_session, parser=typed_text
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All conversations that are not deleted.")
    ] = False,
    format: Annotated[
        ExportFormat | None,
        typer.Option("--format", "-f", help="What to write; markdown unless --as is given."),
    ] = None,
    kind: Annotated[
        TrainingKind | None,
        typer.Option(
            "--as",
            help="Data to train on, as JSON lines: good are the dialogues that you marked as good, "
            "pairs say which answer was better, marks are single answers that you marked.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file, a folder, or - for stdout.")
    ] = Path("-"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Write conversations to files; nothing leaves this computer."""
    export_sessions(
        ExportOptions(
            session=session,
            everything=everything,
            format=format,
            kind=kind,
            output=output,
            force=force,
            json=json,
        )
    )


@sessions.command("import")
def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(help="Exports of other programs (JSON or ZIP), or of this one (JSON)."),
    ],
    format: Annotated[
        ImportFormat | None, typer.Option("--format", "-f", help="Else it is recognized.")
    ] = None,
    copies: Copies = False,
    json: Json = False,
) -> None:
    """Add the conversations of other programs; what is here already stays as it is."""
    # Imported when used: it loads the readers of all formats.
    from baize_tui.cli.session_import import import_sessions

    raise typer.Exit(import_sessions(files, format=format, copies=copies, json=json))


@sessions.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write, or a folder.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Copy all conversations, drafts and deleted ones included, also while clients run."""
    from baize_tui.cli.session_backup import back_up_sessions

    back_up_sessions(file, force=force, json=json)


@sessions.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    copies: Copies = False,
    json: Json = False,
) -> None:
    """Add what is in a backup and not here, also while clients run; nothing is replaced."""
    from baize_tui.cli.session_backup import restore_sessions

    restore_sessions(file, copies=copies, json=json)


@sessions.command()
def rename(
    session: SessionId,
    title: Annotated[str, typer.Argument(help="The new title.", parser=typed_text)],
) -> None:
    """Give a conversation another title."""

    async def rename_one(conversations: Conversations) -> None:
        await conversations.rename((await conversations.get(session)).id, title)

    with_conversations(rename_one)


@sessions.command("tag")
def tag_command(
    session: SessionId,
    tags: Annotated[list[str], typer.Argument(help="Tags: words, in any case.", parser=typed_text)],
    remove: Annotated[bool, typer.Option("--remove", help="Remove these tags.")] = False,
    json: Json = False,
) -> None:
    """Tag a conversation; 'list --tag' and 'search tag:' find it by them."""
    from baize_tui.cli.session_organizing import tag_session

    tag_session(session, tags, remove=remove, json=json)


@sessions.command("pin")
def pin_command(session: SessionId, off: Off = False, json: Json = False) -> None:
    """Keep a conversation at the top of the client's list."""
    from baize_tui.cli.session_organizing import pin_session

    pin_session(session, pinned=not off, json=json)


@sessions.command("archive")
def archive_command(session: SessionId, off: Off = False, json: Json = False) -> None:
    """Take a conversation out of the list; it is still found, and a new message brings it back."""
    from baize_tui.cli.session_organizing import archive_session

    archive_session(session, archived=not off, json=json)


@sessions.command()
def delete(session: SessionId) -> None:
    """Delete a conversation; 'undelete' brings it back, 'purge' removes it for good."""

    async def delete_one(conversations: Conversations) -> str:
        conversation_id = (await conversations.get(session)).id
        await conversations.delete(conversation_id)
        return conversation_id

    deleted = with_conversations(delete_one)
    tell(tr("deleted; to bring it back: baize-tui sessions undelete {id}", id=deleted))


@sessions.command()
def undelete(session: DeletedSessionId) -> None:
    """Bring a deleted conversation back."""

    async def undelete_one(conversations: Conversations) -> None:
        await conversations.undelete((await conversations.get(session)).id)

    with_conversations(undelete_one)


@sessions.command("purge")
def purge_command(
    sessions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids of deleted conversations, or their beginnings.",
            autocompletion=complete_deleted_session,
            parser=typed_text,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All conversations that are deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove deleted conversations for good, with all that is stored of them."""
    from baize_tui.cli.session_organizing import purge_sessions

    purge_sessions(sessions or [], everything=everything, yes=yes, json=json)
