"""One request to the hub and its answer, which is untrusted: what is read of it is bounded.

huggingface_hub brings the session (proxies, certificates, offline mode) and the token. Its own
functions read bodies of any length, wait as long as a header says, and write files under names that
headers contain, so they are not used.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from baize_convert.failures import ConvertError
from baize_convert.hub.errors import Subject, hub_error, status_error, translate_hub_errors

if TYPE_CHECKING:
    from httpx2 import Response

ATTEMPTS = 6
TEMPORARY = (429, 500, 502, 503, 504)
"""Statuses after which a request is repeated."""
_TIMEOUT_S = 30.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
"""Seconds to wait before another attempt, whatever a ``Retry-After`` says."""
_LONGEST_BODY_S = 300.0
"""Seconds for a body that is read whole; it may not come in single bytes forever."""
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_T = TypeVar("_T")


@contextmanager
def open_answer(
    name: Subject, method: str, url: str, headers: dict[str, str]
) -> Iterator[Response]:
    """Send one request, once; the answer's body has not been read, and no redirect is followed.

    Raises:
        ConvertError: the hub cannot be reached, or its answer is not HTTP.
        httpx2.TransportError: the connection broke: the same request may work.
    """
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    with translate_hub_errors(name):
        session = get_session()
        request = session.build_request(method, url, headers=headers, timeout=_TIMEOUT_S)
        answer = session.send(request, stream=True, follow_redirects=False)
        try:
            yield answer
        finally:
            answer.close()


def ask(
    name: Subject,
    method: str,
    url: str,
    headers: dict[str, str],
    read: Callable[[Response], _T],
    attempts: int = ATTEMPTS,
) -> _T:
    """Send a request until ``read`` has the answer; temporary failures are tried again.

    Raises:
        ConvertError: it fails for good.
    """
    from httpx2 import TransportError, UnsupportedProtocol

    for attempt in range(1, attempts + 1):
        try:
            with open_answer(name, method, url, headers) as answer:
                if answer.status_code not in TEMPORARY:
                    return read(answer)
                error = status_error(name, answer)
                wait = wait_after(attempt, answer)
        except UnsupportedProtocol as broken:
            raise hub_error(name, broken) from broken
        except TransportError as broken:
            error, wait = hub_error(name, broken), wait_after(attempt)
        if attempt < attempts:
            time.sleep(wait)
    raise error


def wait_after(attempt: int, answer: Response | None = None) -> float:
    """Seconds to wait after a failed attempt, which is counted from 1."""
    asked = "" if answer is None else answer.headers.get("Retry-After", "")
    if asked.isascii() and asked.isdigit():
        return min(float(asked[:9]), LONGEST_WAIT_S)
    return float(min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S))


def hub_headers(url: str) -> dict[str, str]:
    """The headers of a request to ``url``; the token goes to the hub itself only."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {"Accept-Encoding": "identity"}
    if _origin(url) == _origin(constants.ENDPOINT):
        headers = {**build_hf_headers(), **headers}
    return headers


def redirect_target(name: Subject, url: str, answer: Response) -> str | None:
    """The address that an answer from ``url`` redirects to; None if it does not redirect.

    Raises:
        ConvertError: the address is none of a web server.
    """
    location = answer.headers.get("Location")
    if answer.status_code not in _REDIRECTS or not location:
        return None
    try:
        target = urljoin(url, location)
        scheme, host, _ = _origin(target)
    except ValueError:
        scheme = host = ""
    if scheme not in ("https", urlsplit(url).scheme) or not host or "@" in urlsplit(target).netloc:
        raise unusable(name, f"redirects to {location[:200]!r}")
    return target


def follow(
    name: Subject,
    method: str,
    url: str,
    read: Callable[[str, Response], _T],
    *,
    pass_by: Callable[[Response], object] = lambda _: None,
    attempts: int = ATTEMPTS,
) -> _T:
    """Send a request, following redirects within the hub; ``read`` gets the last address too.

    A redirect to another host is an answer, as the hub has large files elsewhere. ``pass_by`` gets
    the redirects that are followed.

    Raises:
        ConvertError: it fails for good, or is redirected again and again.
    """

    def consume(answer: Response) -> _T | str:
        target = redirect_target(name, url, answer)
        if target is not None and _origin(target) == _origin(url):
            pass_by(answer)
            return target
        if answer.status_code >= 400:
            raise status_error(name, answer)
        results.append(read(url, answer))
        return ""

    results: list[_T] = []
    for _ in range(_MOST_REDIRECTS):
        url = str(ask(name, method, url, hub_headers(url), consume, attempts))
        if results:
            return results[0]
    raise unusable(name, "is redirected again and again")


def read_body(name: Subject, answer: Response, limit: int) -> bytes:
    """The body of an answer, of at most ``limit`` bytes after decompression.

    Raises:
        ConvertError: it is longer, takes too long, or is compressed in an unknown way.
        httpx2.TransportError: it broke off.
    """
    body = bytearray()
    decode = _decoder(name, answer.headers.get("Content-Encoding", "identity").lower())
    end = time.monotonic() + _LONGEST_BODY_S
    try:
        for piece in answer.iter_raw():
            body += decode(piece, limit + 1 - len(body))
            if len(body) > limit:
                raise unusable(name, f"is longer than {limit} bytes")
            if time.monotonic() > end:
                raise unusable(name, "does not end")
    except zlib.error as error:
        raise unusable(name, "is damaged") from error
    return bytes(body)


def _decoder(name: Subject, encoding: str) -> Callable[[bytes, int], bytes]:
    """A function that decodes a piece of a body, to a number of bytes at most."""
    if encoding == "identity":
        return lambda piece, _: piece
    if encoding in ("gzip", "deflate"):  # a proxy compresses although it was asked not to
        return zlib.decompressobj(wbits=47).decompress
    raise unusable(name, f"is compressed with {encoding[:40]!r}, which was not asked for")


def is_web_page(answer: Response) -> bool:
    """Whether an answer is a page for people, as of a network that wants a login first."""
    return "html" in answer.headers.get("Content-Type", "").lower()


def unusable(name: Subject, what: str, answer: Response | None = None) -> ConvertError:
    """The error for an answer that the hub would not give."""
    if answer is not None and is_web_page(answer):
        return ConvertError(
            f"{name}: a web page came instead of the hub's answer: this network may want a login "
            "in a browser first, or a proxy is in the way"
        )
    return ConvertError(
        f"{name}: the answer {what}, so it is not the hub's: a proxy may be in the way, or "
        "HF_ENDPOINT names another server"
    )


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. Raises ``ValueError`` for an invalid port or address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port
