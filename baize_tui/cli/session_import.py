"""``baize-tui sessions import``: the conversations of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from baize_shared.commands import DONE, FAILED
from baize_shared.printing import print_json
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.import_files import ImportSummary, import_file, summary_lines
from baize_tui.chat.imports.names import ImportFormat
from baize_tui.chat.imports.problems import ImportFailed
from baize_tui.cli.open_chat import with_conversations
from baize_tui.cli.output import progress_line, tell
from baize_tui.translation import tr


def import_sessions(
    files: Sequence[Path], *, format: ImportFormat | None, copies: bool, json: bool
) -> int:
    """Import ``files``, one after the other, and say what came of each; the exit code.

    Raises:
        StoreError: the conversations cannot be read or written.
    """

    async def import_one(conversations: Conversations, file: Path) -> ImportSummary | ImportFailed:
        with progress_line() as progress:
            try:
                return await import_file(
                    conversations,
                    file,
                    format=format,
                    copies=copies,
                    report=lambda done: progress.show(
                        tr("{file}: {done} conversations read", file=file.name, done=done)
                    ),
                )
            except ImportFailed as error:
                return error

    async def import_all(conversations: Conversations) -> list[ImportSummary | ImportFailed]:
        results = []
        for file in files:
            results.append(result := await import_one(conversations, file))
            for line in _lines(result, file, json=json):
                tell(line)
        return results

    results = with_conversations(import_all)
    if json:
        print_json(
            {"imports": [_json(result, file) for result, file in zip(results, files, strict=True)]}
        )
    return FAILED if any(isinstance(result, ImportFailed) for result in results) else DONE


def _lines(result: ImportSummary | ImportFailed, file: Path, *, json: bool) -> Iterator[str]:
    if isinstance(result, ImportFailed):
        yield str(result)
    elif not json:
        yield from (tr("{file}: {line}", file=file, line=line) for line in summary_lines(result))


def _json(result: ImportSummary | ImportFailed, file: Path) -> dict[str, Any]:
    if isinstance(result, ImportFailed):
        return {"file": str(file), "error": str(result)}
    summary: dict[str, Any] = msgspec.to_builtins(result)
    return {"file": str(file), "error": None, **summary}
