"""Starting the client: open the store, choose the model, hand over to the screen."""

from __future__ import annotations

import codecs
import locale
import signal
import sys

from baize_shared.commands import DONE
from baize_tui.app.actions import check_keys
from baize_tui.catalog.recipes import find_model
from baize_tui.cli.assembly import make_chat
from baize_tui.cli.failures import CommandError
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.exit_watch import ExitWatch
from baize_tui.paths import project_paths
from baize_tui.settings import load_settings
from baize_tui.store.conversations import Store


def speaks_utf8() -> bool:
    """Whether the locale's encoding is UTF-8."""
    return codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8"


def start_client(
    *,
    model: str | None = None,
    session: str | None = None,
    newest: bool = False,
    gpu_layers: str | None = None,
) -> int:
    """Run the client until it is quit.

    ``session`` opens the conversation with this id, ``newest`` the one used last.

    Raises:
        CommandError: not a terminal, or one that does not speak UTF-8.
        StoreError, SettingsError, CatalogError: as their messages say.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("the client needs a terminal; for scripts there is 'baize-tui ask'")
    if not speaks_utf8():
        raise CommandError(
            f"the locale's encoding is {locale.getpreferredencoding(False)}, the screen needs "
            "UTF-8: start with LC_ALL=C.UTF-8, or set a UTF-8 locale"
        )
    paths = project_paths()
    settings = with_gpu_layers(load_settings(paths.settings_file), gpu_layers)
    check_keys(settings.keys, paths.settings_file)
    wanted = model or settings.model.default
    if model is not None:
        find_model(model, paths)  # a wrong name ends here; else the screen says what is missing
    terminal = sys.stdin.fileno()
    with ExitWatch(terminal, codes_when_saved={signal.SIGTERM: DONE}) as exit_watch:
        store = Store(paths.conversations_file)
        if newest and session is None:
            session = next((conversation.id for conversation in store.conversations()), None)
        elif session is not None:
            session = store.conversation(session).id
        chat = make_chat(store, settings, paths, one_model=model is not None)

        from baize_tui.app.app import BaizeApp

        app = BaizeApp(chat, paths, model=wanted, open_session=session, exit_watch=exit_watch)
        app.run()
        if chat.unsaved:
            raise CommandError(f"{chat.unsaved} answer(s) could not be saved: the disk was full")
        return app.return_code or 0
