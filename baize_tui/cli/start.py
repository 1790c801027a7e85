"""Starting the client: open the conversations, choose the model, show the screen."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from msgspec import Struct

from baize_shared.commands import DONE
from baize_shared.printing import stdout_is_utf8
from baize_tui.app.actions import check_keys
from baize_tui.app.taken_keys import IN_BROWSER, taken_here
from baize_tui.catalog.finding import find_model
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.store_thread import open_store
from baize_tui.cli.draft_option import with_draft
from baize_tui.cli.failures import CommandError
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.open_chat import open_chat
from baize_tui.cli.run_plain import run_plain
from baize_tui.exit_watch import ExitWatch
from baize_tui.measures import count_text
from baize_tui.paths import project_paths
from baize_tui.settings import load_settings
from baize_tui.translation import msg, tr

NEEDS_A_TERMINAL = msg(
    "the client needs a terminal; for scripts there are 'baize-tui ask' and --plain"
)
NEEDS_UTF8 = msg(
    "the locale's encoding is {encoding}, but the screen needs UTF-8: start with LC_ALL=C.UTF-8, "
    "or set a UTF-8 locale"
)
_SIMPLE_TERMINALS = ("", "dumb", "unknown")


class StartOptions(Struct, frozen=True):
    """The options of a start; None means not given."""

    model: str | None = None
    session: str | None = None
    """The id of the conversation to open."""
    newest: bool = False
    """Open the conversation that was used last."""
    gpu_layers: str | None = None
    draft: str | None = None
    persona: str | None = None
    """The persona of new conversations."""
    plain: bool = False
    """Append lines in place of showing a screen."""
    engine_socket: Path | None = None
    """In a tab of ``baize-tui web``: where the model is that all tabs share."""


def start_client(options: StartOptions) -> int:
    """Run the client until the person quits; the exit code.

    Raises:
        CommandError: not a terminal, or not a UTF-8 locale; or an answer could not be saved.
        StoreError, SettingsError, CatalogError, UnknownFormat: as their messages say.
    """
    in_browser = options.engine_socket is not None
    plain = options.plain or (_is_simple_terminal() and not in_browser)
    if not in_browser:
        _check_terminal(plain)
    paths = project_paths()
    settings = with_gpu_layers(load_settings(paths.settings_file), options.gpu_layers)
    settings = with_draft(settings, options.draft, paths)
    check_keys(settings.keys, paths.settings_file)
    if options.model is not None:
        find_model(options.model, paths)  # a wrong name fails here; else the screen reports it
    persona = None
    if options.persona is not None:
        from baize_tui.catalog.personas import find_persona

        persona = (options.persona, find_persona(options.persona, paths))
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    with ExitWatch(terminal, codes_when_saved={signal.SIGTERM: DONE}) as exit_watch:
        store = open_store(paths.conversations_file)
        session = _find_session(Conversations(store), options)
        chat = open_chat(
            store,
            settings,
            paths,
            one_model=options.model is not None,
            engine_socket=options.engine_socket,
        )
        chat.persona = persona
        if plain:
            return run_plain(chat, session, options.model, exit_watch)

        from baize_tui.app.app import BaizeApp

        app = BaizeApp(
            chat,
            paths,
            model=options.model or settings.model.default,
            open_session=session,
            exit_watch=exit_watch,
            # In a tab, the terminal of the server is not around the client.
            taken_keys=taken_here(IN_BROWSER if in_browser else os.environ, sys.platform),
            in_browser=in_browser,
        )
        app.run()
        if app.crash is not None:
            raise app.crash  # the boundary of the program prints one line and writes a log
        if chat.unsaved:
            count = count_text(chat.unsaved, "answer")
            raise CommandError(
                tr("{answers} could not be saved: {why}", answers=count, why=chat.why_unsaved)
            )
        return app.return_code or 0


def _is_simple_terminal() -> bool:
    """Whether this is a terminal on which the cursor cannot be moved."""
    return sys.stdin.isatty() and os.environ.get("TERM", "") in _SIMPLE_TERMINALS


def _check_terminal(plain: bool) -> None:
    if not plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError(tr(NEEDS_A_TERMINAL))
    if not stdout_is_utf8():
        raise CommandError(tr(NEEDS_UTF8, encoding=sys.stdout.encoding))


def _find_session(conversations: Conversations, options: StartOptions) -> str | None:
    """Id of the conversation to open; None for a new one.

    Raises:
        UnknownConversation: there is none with the id that was given.
    """
    if options.session is not None:
        return asyncio.run(conversations.get(options.session)).id
    if options.newest:
        listed = conversations.list_now(first=1).conversations
        newest = max(listed, key=lambda each: each.updated_at, default=None)
        return newest.id if newest is not None else None
    return None
