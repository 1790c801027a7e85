"""Runs the plain client on standard input and output."""

from __future__ import annotations

import asyncio
import sys

from baize_shared.commands import DONE
from baize_tui.chat.chat import Chat
from baize_tui.cli.failures import CommandError
from baize_tui.engine.client import kill_workers
from baize_tui.exit_watch import ExitWatch
from baize_tui.translation import tr


def run_plain(chat: Chat, session: str | None, model: str | None, exit_watch: ExitWatch) -> int:
    """Chat until the input ends; the exit code.

    Raises:
        CatalogError, EngineFailure: no model can answer.
        CommandError: an answer could not be saved.
    """
    return asyncio.run(_run(chat, session, model, exit_watch))


async def _run(chat: Chat, session: str | None, model: str | None, exit_watch: ExitWatch) -> int:
    from baize_tui.plain.client import PlainClient
    from baize_tui.plain.input_lines import InputLines

    exit_watch.save_at_exit(chat.save_for_exit, chat.rescue)
    exit_watch.at_exit(kill_workers)
    echoed = sys.stdin.isatty()
    lines = InputLines(sys.stdin.fileno(), sys.stdin.encoding, is_terminal=echoed)
    wanted = chat.catalog.find_model(model) if model is not None else None
    try:
        await PlainClient(chat, lines, echoed=echoed).run(session, wanted)
    finally:
        await chat.close()
    if chat.unsaved:
        raise CommandError(tr("answers could not be saved: {why}", why=chat.why_unsaved))
    return DONE
