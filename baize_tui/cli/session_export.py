"""``baize-tui sessions export``: conversations as files, and their marks as training data."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import typer

from baize_shared.atomic_files import write_atomically
from baize_shared.printing import print_json
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.export_files import (
    Exported,
    check_replaces_nothing,
    export_all,
    export_one,
    render,
)
from baize_tui.chat.exports.rendering import FORMATS, ExportFormat, Format
from baize_tui.chat.training_examples import good_dialogues, marked_answers, preference_pairs
from baize_tui.cli.failures import CommandError, offering_force
from baize_tui.cli.open_chat import with_conversations
from baize_tui.cli.output import tell
from baize_tui.measures import count_text, counts_text
from baize_tui.shared_texts import file_error
from baize_tui.store.records import Conversation, Message
from baize_tui.translation import msg, tr

TrainingKind = Literal["good", "pairs", "marks"]
_MAKE_EXAMPLES: dict[TrainingKind, Callable[[Sequence[Message], str], Iterable[object]]] = {
    "good": good_dialogues,
    "pairs": preference_pairs,
    "marks": marked_answers,
}
_EXAMPLES_TEXT: dict[TrainingKind, str] = {
    "good": msg("{file}: {count} dialogues marked as good"),
    "pairs": msg("{file}: {count} pairs"),
    "marks": msg("{file}: {count} marked answers"),
}
_STDOUT = Path("-")
ONE_EACH = msg("{format} has one conversation in each file: name a folder with --output")
LEFT_OUT = msg("not in the file: {counts}; --format json has everything")


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to; see the command's options."""

    session: str | None
    everything: bool
    format: ExportFormat | None
    kind: TrainingKind | None
    output: Path
    force: bool
    json: bool


def export_sessions(options: ExportOptions) -> None:
    """Write what ``options`` ask for, and say on stderr what was written.

    Raises:
        typer.BadParameter: the options contradict each other.
        CommandError: a file cannot be written.
        ExportFailed, StoreError: as their messages say.
    """
    _check(options)
    with offering_force():
        if options.kind is not None:
            _export_training_data(options, options.kind)
        else:
            _export_conversations(options)


def _export_conversations(options: ExportOptions) -> None:
    format = FORMATS[options.format or "markdown"]

    async def export(conversations: Conversations) -> tuple[Exported, bytes | None]:
        to_stdout = options.output == _STDOUT
        if options.everything and format.one_each and to_stdout:
            raise CommandError(tr(ONE_EACH, format=format.name))
        chosen = await _choose(conversations, options)
        if to_stdout:
            content, left_out = await render(conversations, chosen, format)
            if not options.json:
                _print(content)
            return Exported([], len(chosen), left_out), content
        target, force = options.output, options.force
        if options.everything:
            written = await export_all(conversations, chosen, format, target, force=force)
        else:
            written = await export_one(conversations, chosen[0], format, target, force=force)
        return written, None

    exported, content = with_conversations(export)
    _report(exported, content, format, options)


def _check(options: ExportOptions) -> None:
    if options.session is not None and options.everything:
        raise typer.BadParameter(tr("give a conversation's id or --all, not both"))
    if options.session is None and not options.everything and options.kind is None:
        raise typer.BadParameter(tr("give a conversation's id, or --all"))
    if options.format is not None and options.kind is not None:
        raise typer.BadParameter(tr("give --format or --as, not both"))


async def _choose(conversations: Conversations, options: ExportOptions) -> list[Conversation]:
    if options.session is not None:
        return [await _not_deleted(conversations, options.session)]
    chosen = await conversations.list_all()
    if not chosen:
        raise CommandError(tr("no conversations yet"))
    return chosen


async def _not_deleted(conversations: Conversations, session: str) -> Conversation:
    """The conversation with this id, unless it is in the trash."""
    conversation = await conversations.get(session)
    if (await conversations.deleted_by_id())[conversation.id]:
        raise CommandError(
            tr("{id} is deleted; first: baize-tui sessions undelete {id}", id=conversation.id)
        )
    return conversation


def _print(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _report(
    exported: Exported, content: bytes | None, format: Format, options: ExportOptions
) -> None:
    """Say what was written; with ``--json`` that includes a ``content`` for stdout."""
    if options.json:
        summary = {
            "output": str(options.output),
            "format": format.name,
            "files": [str(file) for file in exported.files],
            "conversations": exported.conversations,
            "left_out": dict(exported.left_out),
        }
        print_json(summary if content is None else {**summary, "content": content.decode()})
        return
    if exported.files:
        where = str(exported.files[0])
        if len(exported.files) > 1:
            files = count_text(len(exported.files), "file")
            where = tr("{files} in {folder}", files=files, folder=options.output)
        count = count_text(exported.conversations, "conversation")
        tell(tr("{where}: {count}", where=where, count=count))
    if exported.left_out:
        tell(tr(LEFT_OUT, counts=counts_text(exported.left_out)))


# --- training data --------------------------------------------------------------------------------


def _export_training_data(options: ExportOptions, kind: TrainingKind) -> None:
    lines = with_conversations(
        lambda conversations: _training_lines(conversations, kind, options.session)
    )
    summary = {"output": str(options.output), "kind": kind, "written": len(lines)}
    if options.output == _STDOUT:
        content = b"".join(lines)
        if options.json:
            print_json({**summary, "content": content.decode()})
        else:
            _print(content)
        return
    check_replaces_nothing(options.output, force=options.force)
    try:
        write_atomically(options.output, b"".join(lines))
    except OSError as error:
        raise CommandError(file_error(options.output, error)) from error
    if options.json:
        print_json(summary)
        return
    tell(tr(_EXAMPLES_TEXT[kind], file=options.output, count=len(lines)))


async def _training_lines(
    conversations: Conversations, kind: TrainingKind, session: str | None
) -> list[bytes]:
    """Training examples as lines of JSON; from all conversations without ``session``."""
    if session is not None:
        chosen = [await _not_deleted(conversations, session)]
    else:
        chosen = await conversations.list_all()
    make_examples = _MAKE_EXAMPLES[kind]
    lines: list[bytes] = []
    for conversation in chosen:
        tree = await conversations.all_messages(conversation.id)
        examples = make_examples(tree, conversation.system)
        lines.extend(msgspec.json.encode(example) + b"\n" for example in examples)
    return lines
