"""The address of a model on an OpenAI-compatible server: ``server:URL#model``."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_shared.sanitizer import clean_line

SERVER_PREFIX = "server:"
_EXAMPLE = "server:http://localhost:8000/v1#model"
_PORTS = {"http": 80, "https": 443}
_LONGEST = 1000


class AddressError(OneLineError):
    """A text is not the address of a server."""


class ServerAddress(Struct, frozen=True):
    """A server, and one of its models."""

    url: str
    """Without a slash at its end."""
    model: str = ""
    """Empty for the only one that it has."""

    @property
    def host(self) -> str:
        """Name or number of the host, with its port unless that is the usual one."""
        parts = urlsplit(self.url)
        name = parts.hostname or ""
        name = f"[{name}]" if ":" in name else name
        return name if parts.port in (None, _PORTS[parts.scheme]) else f"{name}:{parts.port}"

    @property
    def is_this_computer(self) -> bool:
        """Whether the host is this computer for certain; a name that merely leads here is not."""
        name = urlsplit(self.url).hostname or ""
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody between here and the host can read along."""
        return urlsplit(self.url).scheme == "https"

    @property
    def spec(self) -> str:
        """What a person writes for it."""
        return f"{SERVER_PREFIX}{self.url}" + (f"#{self.model}" if self.model else "")

    def with_model(self, model: str) -> ServerAddress:
        return msgspec.structs.replace(self, model=model)


def parse_address(text: str) -> ServerAddress:
    """The address in ``text``, ``server:URL#model`` or ``URL#model``.

    A URL without a path gets ``/v1``, where these servers have their interface.

    Raises:
        AddressError: it has another form.
    """
    given = text.removeprefix(SERVER_PREFIX)
    url, _, model = given.partition("#")
    shown = clean_line(text)
    if not url.isascii() or not url.isprintable() or " " in url or len(given) > _LONGEST:
        raise AddressError(f"{shown}: not a URL; write {_EXAMPLE}")
    if clean_line(model, _LONGEST) != model:
        raise AddressError(f"{shown}: not the name of a model; write {_EXAMPLE}")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise AddressError(f"{shown}: not the URL of a server; write {_EXAMPLE}")
    if "@" in parts.netloc:
        # It would be shown, and stored with every conversation.
        raise AddressError("the address of a server must not have a name or a password in it")
    if parts.query:
        raise AddressError(f"{shown}: the URL of a server must not have a query")
    path = parts.path.rstrip("/") or "/v1"
    return ServerAddress(f"{parts.scheme}://{parts.netloc.lower()}{path}", model)
