"""The client as a page: each tab is a client process, and all share one model process."""

from __future__ import annotations

import logging
import secrets
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from textual_serve.server import Server

from baize_tui.serving.addresses import url_of
from baize_tui.serving.page_guard import PageGuard

_TITLE = "白泽 Baize"
_PAGE = Path(__file__).parent / "page"


class WebServer(Server):
    """textual-serve's server behind a guard, with a page that loads nothing from elsewhere."""

    def __init__(self, arguments: Sequence[str], host: str, port: int) -> None:
        """``arguments`` are those of the client of a tab."""
        command = shlex.join([sys.executable, "-P", "-m", "baize_tui.cli.web_tab", *arguments])
        super().__init__(
            f"exec {command}",  # else a shell would stay between
            host,
            port,
            title=_TITLE,
            public_url=url_of(host, port),
            templates_path=_PAGE,
        )
        self._secret = secrets.token_urlsafe(32)

    @property
    def url(self) -> str:
        """The address of the page; whoever knows it can read everything."""
        return f"{self.public_url}/{self._secret}/"

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the command does that."""

    async def guarded_app(self) -> web.Application:
        """The page and what it needs, below the secret path."""
        guard = PageGuard(self.public_url.removeprefix("http://"), self._secret)
        root = web.Application(middlewares=[guard.__call__])
        root.on_response_prepare.append(guard.add_headers)
        page = await self._make_app()
        page.router.add_static("/page", _PAGE)
        root.add_subapp(f"/{self._secret}", page)
        return root


@asynccontextmanager
async def serve_page(server: WebServer, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the page on ``listener`` until the block ends; the tabs end with it."""
    # They would print the words of a client that has crashed, and bytes of anyone who asks.
    for name in ("textual-serve", "aiohttp.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    runner = web.AppRunner(await server.guarded_app(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
