"""``baize-tui sessions``: list, show, export, rename and delete conversations; needs no model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import typer

from baize_shared.atomic_files import write_atomically
from baize_shared.printing import print_json, print_line, warn_about_encoding
from baize_shared.typed_text import typed_text
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.training_examples import good_dialogues, preference_pairs
from baize_tui.cli.failures import CommandError
from baize_tui.cli.flags import Json
from baize_tui.cli.open_chat import open_conversations_file
from baize_tui.cli.output import PROGRAM, tell
from baize_tui.cli.sessions_output import (
    conversation_json,
    list_line,
    transcript_json,
    transcript_parts,
)
from baize_tui.engine.snapshots.snapshot_folder import forget_conversation
from baize_tui.paths import project_paths
from baize_tui.store.records import Conversation, Message

T = TypeVar("T")
ExportKind = Literal["good", "pairs"]
sessions = typer.Typer(
    no_args_is_help=True, help="List, show, export, rename and delete conversations."
)


def _with_conversations(work: Callable[[Conversations], Awaitable[T]]) -> T:
    """The result of ``work``, which is called with the conversations."""

    paths = project_paths()

    async def forget_state(conversation_id: str) -> None:
        forget_conversation(paths.snapshots_folder, conversation_id)

    async def run() -> T:
        with open_conversations_file(paths.conversations_file) as store:
            return await work(Conversations(store, forget_state))

    return asyncio.run(run())


def complete_session(incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin with ``incomplete``, for shell completion."""
    known = _with_conversations(lambda conversations: conversations.list_all())
    return [(c.id, c.title) for c in known if c.id.startswith(incomplete)]


SessionId = Annotated[
    str, typer.Argument(help="The id, or its beginning.", autocompletion=complete_session)
]


@sessions.command("list")
def list_sessions(
    deleted: Annotated[bool, typer.Option(help="Those that were deleted.")] = False,
    json: Json = False,
) -> None:
    """The conversations, the last used first."""
    listed = _with_conversations(lambda conversations: conversations.list_all(deleted=deleted))
    if json:
        print_json({"sessions": [conversation_json(conversation) for conversation in listed]})
        return
    warn_about_encoding(PROGRAM)
    for conversation in listed:
        print_line(list_line(conversation))
    if not listed:
        tell("no conversation is deleted" if deleted else "no conversations yet")


@sessions.command()
def show(session: SessionId, json: Json = False) -> None:
    """Print one conversation, along the branch that is shown."""

    async def read(conversations: Conversations) -> tuple[Conversation, list[Message]]:
        conversation = await conversations.get(session)
        return conversation, await conversations.shown_messages(conversation.id)

    conversation, messages = _with_conversations(read)
    if json:
        print_json(transcript_json(conversation, messages))
        return
    warn_about_encoding(PROGRAM)
    for part in transcript_parts(conversation, messages):
        print_line(part)


@sessions.command("export")
def export_sessions(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, JSON lines.")],
    kind: Annotated[
        ExportKind,
        typer.Option("--as", help="good: dialogues you marked as good; pairs: which was better."),
    ],
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", help="One conversation; else all that are not deleted."),
    ] = None,
    json: Json = False,
) -> None:
    """Marks, edits and regenerations as data to train on; nothing leaves this computer."""
    lines = _with_conversations(lambda conversations: _training_lines(conversations, kind, session))
    try:
        write_atomically(output, b"".join(lines))
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}") from error
    if json:
        print_json({"output": str(output), "kind": kind, "written": len(lines)})
        return
    what = "dialogues marked as good" if kind == "good" else "pairs"
    tell(f"{output}: {len(lines)} {what}")


async def _training_lines(
    conversations: Conversations, kind: ExportKind, session: str | None
) -> list[bytes]:
    """Training examples as lines of JSON; from all conversations without ``session``."""
    if session is not None:
        chosen = [await conversations.get(session)]
    else:
        chosen = await conversations.list_all()
    make_examples = good_dialogues if kind == "good" else preference_pairs
    lines: list[bytes] = []
    for conversation in chosen:
        tree = await conversations.all_messages(conversation.id)
        examples = make_examples(tree, conversation.system)
        lines.extend(msgspec.json.encode(example) + b"\n" for example in examples)
    return lines


@sessions.command()
def rename(
    session: SessionId, title: Annotated[str, typer.Argument(help="The new title.")]
) -> None:
    """Give a conversation another title."""

    async def rename_one(conversations: Conversations) -> None:
        await conversations.rename((await conversations.get(session)).id, typed_text(title))

    _with_conversations(rename_one)


@sessions.command()
def delete(session: SessionId) -> None:
    """Delete a conversation; 'undelete' brings it back."""

    async def delete_one(conversations: Conversations) -> str:
        conversation_id = (await conversations.get(session)).id
        await conversations.delete(conversation_id)
        return conversation_id

    deleted = _with_conversations(delete_one)
    tell(f"deleted; to bring it back: baize-tui sessions undelete {deleted}")


@sessions.command()
def undelete(session: Annotated[str, typer.Argument(help="The id, or its beginning.")]) -> None:
    """Bring a deleted conversation back."""

    async def undelete_one(conversations: Conversations) -> None:
        await conversations.undelete((await conversations.get(session)).id)

    _with_conversations(undelete_one)
