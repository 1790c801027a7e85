"""Who may open the page: only who knows its path, and only from that page itself.

textual-serve 1.1.3 asks nobody who they are: its websocket starts a client for any user of this
computer, and for a page of any origin (browsers allow those), and it reads no Host header, so that
a name which an attacker points at 127.0.0.1 (DNS rebinding) makes his page one of the same origin.
So the page has a secret path, and every request must name this address and come from it.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from baize_tui.translation import tr

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    # Nothing is loaded from elsewhere, and no other page may have this one in a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "font-src 'self'; img-src 'self' data:; connect-src 'self' ws://{host}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the path is the secret
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class PageGuard:
    """Refuses requests before they reach the page."""

    def __init__(self, host: str, secret: str) -> None:
        """``host`` is the address with its port; ``secret`` the first part of each path."""
        self._host = host
        self._secret = secret.encode()
        self._headers = {name: value.format(host=host) for name, value in HEADERS.items()}

    def is_allowed(self, request: web.Request) -> bool:
        """Whether the request is for this address, from its own page, and knows the path."""
        first = request.path.split("/", 2)[1].encode()
        origins = request.headers.getall("Origin", [])
        return (
            request.headers.getall("Host", []) == [self._host]
            and origins in ([], [f"http://{self._host}"])
            and hmac.compare_digest(first, self._secret)
        )

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.is_allowed(request):
            # The same answer for everything: it tells nobody how close they came.
            raise web.HTTPNotFound(text=tr("Not found. Open the whole address that was printed."))
        return await handler(request)

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers that protect the page; for ``on_response_prepare``."""
        response.headers.update(self._headers)
