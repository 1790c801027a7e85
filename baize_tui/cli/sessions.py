"""``baize-tui sessions``: the conversations, without the client."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from baize_shared.atomic_files import write_atomically
from baize_shared.printing import prepare_stdout, print_json, print_line
from baize_tui.chat.training_examples import good_dialogues, pairs
from baize_tui.cli.failures import CommandError
from baize_tui.cli.output import PROGRAM, tell
from baize_tui.paths import project_paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Conversation

ExportKind = Literal["good", "pairs"]
sessions = typer.Typer(no_args_is_help=True, help="List, show, export, rename and delete them.")


@contextmanager
def _store() -> Iterator[Store]:
    store = Store(project_paths().conversations_file)
    try:
        if store.set_aside is not None:
            tell(f"the conversations file was damaged; it is kept as {store.set_aside}")
        yield store
    finally:
        store.close()


def complete_session(incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin with ``incomplete``, for shell completion."""
    with _store() as store:
        return [(c.id, c.title) for c in store.conversations() if c.id.startswith(incomplete)]


SessionId = Annotated[
    str, typer.Argument(help="The id, or its beginning.", autocompletion=complete_session)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def _as_json(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created_at": _iso(conversation.created_at),
        "updated_at": _iso(conversation.updated_at),
        "model": conversation.model,
        "moderation": conversation.moderation,
    }


@sessions.command("list")
def list_sessions(
    deleted: Annotated[bool, typer.Option(help="Those that were deleted.")] = False,
    json: Json = False,
) -> None:
    """The conversations, the last used first."""
    with _store() as store:
        found = store.conversations(deleted=deleted)
    if json:
        print_json({"sessions": [_as_json(conversation) for conversation in found]})
        return
    prepare_stdout(PROGRAM)
    for conversation in found:
        print_line(f"{conversation.id}  {_time(conversation.updated_at)}  {conversation.title}")
    if not found:
        tell("no conversation is deleted" if deleted else "no conversations yet")


@sessions.command()
def show(session: SessionId, json: Json = False) -> None:
    """One conversation, as its current branch reads."""
    with _store() as store:
        conversation = store.conversation(session)
        messages = store.messages(conversation.id)
    if json:
        print_json(
            {
                **_as_json(conversation),
                "system": conversation.system,
                "messages": [
                    {
                        "id": message.id,
                        "role": message.role,
                        "text": message.text,
                        "reasoning": message.reasoning,
                        "state": message.state,
                        "created_at": _iso(message.created_at),
                        "provenance": message.provenance,
                    }
                    for message in messages
                ],
            }
        )
        return
    prepare_stdout(PROGRAM)
    print_line(f"# {conversation.title}")
    for message in messages:
        note = "" if message.state == "complete" else f" ({message.state})"
        name = "You" if message.role == "user" else "Model"
        print_line(f"\n## {name}{note}\n\n{message.text.strip()}")


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
    with _store() as store:
        chosen = [store.conversation(session)] if session is not None else store.conversations()
        make = good_dialogues if kind == "good" else pairs
        lines = [
            msgspec.json.encode(found) + b"\n"
            for conversation in chosen
            for found in make(store.tree(conversation.id), conversation.system)
        ]
    try:
        write_atomically(output, b"".join(lines))
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}") from error
    if json:
        print_json({"output": str(output), "kind": kind, "written": len(lines)})
        return
    what = "dialogues marked as good" if kind == "good" else "pairs"
    tell(f"{output}: {len(lines)} {what}")


@sessions.command()
def rename(
    session: SessionId, title: Annotated[str, typer.Argument(help="The new title.")]
) -> None:
    """Give a conversation another title."""
    with _store() as store:
        store.rename(store.conversation(session).id, title)


@sessions.command()
def delete(session: SessionId) -> None:
    """Delete a conversation; 'undelete' brings it back."""
    with _store() as store:
        conversation = store.conversation(session)
        store.delete(conversation.id)
    tell(f"deleted; to bring it back: baize-tui sessions undelete {conversation.id}")


@sessions.command()
def undelete(session: Annotated[str, typer.Argument(help="The id, or its beginning.")]) -> None:
    """Bring a deleted conversation back."""
    with _store() as store:
        store.undelete(store.conversation(session).id)
