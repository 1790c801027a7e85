"""``baize-tui web``: the client in a browser on this computer."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from baize_shared.printing import print_json, print_line
from baize_tui.app.actions import check_keys
from baize_tui.catalog.finding import find_model
from baize_tui.cli.failures import CommandError
from baize_tui.cli.output import tell, warn_about_encoding
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.shared.broker import EngineBroker
from baize_tui.paths import project_paths
from baize_tui.serving.addresses import THIS_COMPUTER, listen
from baize_tui.settings import load_settings
from baize_tui.translation import msg, tr

MISSING = msg("the client in a browser needs a library: pip install 'baize-tui[web]'")
ADDRESS = msg("open this address in a browser; whoever has it can read your conversations")


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The options of ``web``; None means not given."""

    model: str | None = None
    port: int = 8000
    """0 takes a free one."""
    json: bool = False


def web(options: WebOptions) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        CommandError, AddressInUse, CatalogError, SettingsError: as their messages say.
    """
    if importlib.util.find_spec("textual_serve") is None:
        raise CommandError(tr(MISSING))
    paths = project_paths()
    check_keys(load_settings(paths.settings_file).keys, paths.settings_file)
    if options.model is not None:
        find_model(options.model, paths)  # a wrong name fails here, not in each tab
    warn_about_encoding()
    asyncio.run(_serve(options))


async def _serve(options: WebOptions) -> None:
    from baize_tui.serving.web_server import WebServer, serve_page

    with (
        listen(THIS_COMPUTER, options.port) as listener,
        tempfile.TemporaryDirectory(prefix="baize-") as folder,
    ):
        port: int = listener.getsockname()[1]
        async with EngineBroker(WorkerEngine(project_paths(), tell), Path(folder)) as broker:
            model = [options.model] if options.model is not None else []
            server = WebServer([str(broker.socket), *model], THIS_COMPUTER, port)
            async with serve_page(server, listener):
                _announce(server.url, json=options.json)
                await asyncio.get_running_loop().create_future()  # until Ctrl-C


def _announce(url: str, *, json: bool) -> None:
    if json:
        print_json({"url": url})
    else:
        print_line(url)
        tell(tr(ADDRESS))
        tell(tr("ctrl+c ends it"))
    sys.stdout.flush()
