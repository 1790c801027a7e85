"""The official client for one server, with a transport that neither leaks nor floods."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai

from baize_shared.server_address import ServerAddress

CONNECT_S = 10.0
"""How long connecting may take."""
_MOST_BYTES = 64 << 20
"""Of one response; an answer of 100,000 tokens has less."""
_HEADERS = {"host", "accept", "content-type", "content-length", "connection", "transfer-encoding"}
"""What is sent along: nothing that the library reads from the environment or the machine."""
_OPENAI_HEADERS = {"openai-organization", "openai-project"}


def open_client(address: ServerAddress, key: str, silence_s: float) -> openai.AsyncOpenAI:
    """The client; ``silence_s`` is how long the server may send nothing."""

    async def only_what_is_meant(request: httpx2.Request) -> None:
        _clean_request(request, address, key)

    # A proxy from the environment would carry words for this computer out of it.
    from_environment = not address.is_this_computer
    transport = httpx2.AsyncClient(
        # Another host must see neither the key nor a word.
        follow_redirects=False,
        trust_env=from_environment,
        # Reading all certificates takes longer than connecting. Where nothing is encrypted, none
        # is believed.
        verify=httpx2.create_ssl_context(trust_env=from_environment)
        if address.is_encrypted
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        # A server may close an idle connection in the moment in which it is used again.
        limits=httpx2.Limits(max_keepalive_connections=0),
        timeout=httpx2.Timeout(silence_s, connect=CONNECT_S),
        event_hooks={"request": [only_what_is_meant], "response": [_bound_response]},
    )
    return openai.AsyncOpenAI(
        base_url=address.url, api_key="none", max_retries=0, http_client=transport
    )


def _clean_request(request: httpx2.Request, address: ServerAddress, key: str) -> None:
    """Leave only the headers that are meant for this server, with its key."""
    allowed = _HEADERS
    if address.host == "api.openai.com":
        allowed = allowed | _OPENAI_HEADERS
    for name in [name for name in request.headers if name.lower() not in allowed]:
        del request.headers[name]
    request.headers["user-agent"] = "baize-tui"
    request.headers["accept-encoding"] = "identity"  # what is sent is what is counted
    if key and _origin(request.url) == _origin(httpx2.URL(address.url)):
        request.headers["authorization"] = f"Bearer {key}"


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _bound_response(response: httpx2.Response) -> None:
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    if response.headers.get("content-encoding", "identity") != "identity":
        await stream.aclose()
        raise httpx2.DecodingError("a compressed answer, which nobody asked for")
    response.stream = _Bounded(stream)


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error where it becomes too large."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > _MOST_BYTES:
                raise httpx2.ReadError(f"an answer of more than {_MOST_BYTES >> 20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def get_json(client: openai.AsyncOpenAI, path: str, timeout_s: float) -> Any:
    """What a GET of ``path`` below the base, or of a whole URL, answers."""
    return await client.get(path, cast_to=object, options={"timeout": timeout_s})
