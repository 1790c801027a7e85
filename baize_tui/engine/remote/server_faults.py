"""What goes wrong with a server, as one line for the person."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx2
import openai
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.number_limits import LARGEST_INT
from baize_shared.sanitizer import clean_line
from baize_shared.server_address import AddressError, ServerAddress, parse_address
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import FailureKind
from baize_tui.engine.remote.error_bodies import provider_error
from baize_tui.engine.remote.full_context import find_full_context
from baize_tui.engine.remote.http_client import CONNECT_S
from baize_tui.shared_texts import NAMED
from baize_tui.translation import msg, tr

SERVER_ERRORS = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, OSError, *JSON_ERRORS)
"""What a request to a server can raise: also for what is no HTTP, no JSON, or not what it says."""

_REASON = 160
"""Characters of a server's own words in a line."""
_LONG_REASON = 2000
"""The same where numbers are looked for."""
_NOT_FOUND = re.compile(
    r"^\W*(404\W+)?(page|resource|route|file|endpoint|path|url)?\s*not found\W*$"
    r"|unknown request url|invalid url|no (route|handler)|cannot post",
    re.I,
)
"""What a server says where the path is wrong; other reasons for a 404 are about something else."""

NO_ANSWER = msg("{host} sends something that is no answer")
WEB_PAGE = msg("{host} answers with a web page: is the address right? {hint}")
NOTHING_THERE = msg("{host} has nothing at {url} (404). {hint}")
TRY_AGAIN = msg("{host} gets too many requests (429); try again in {seconds} s")
REDIRECTS = msg(
    "{host} redirects to {other}, to which neither key nor words are sent: use that address if you "
    "trust it"
)
NO_TLS = msg("{host} cannot prove who it is, or speaks no TLS: {why}")


class ServerFaults(Struct, frozen=True):
    """Tells what is wrong with one server."""

    address: ServerAddress
    key: str
    how_to_give_key: str
    silence_s: float

    @property
    def host(self) -> str:
        return self.address.host

    def failure(self, error: BaseException, kind: FailureKind = "engine") -> EngineFailure:
        """``error``, one of ``SERVER_ERRORS``, as one line without the key."""
        if isinstance(error, openai.APIStatusError):
            if (too_long := self._too_long(error.body)) is not None:
                return too_long
            return EngineFailure(self._hide_key(self._status_line(error)), kind)
        if isinstance(error, openai.APIError) and error.body is not None:  # in a stream
            if (too_long := self._too_long(error.body)) is not None:
                return too_long
            reason = self.reason_in(error.body) or tr("an error without a reason")
            line = tr(NAMED, name=self.host, why=reason)
            return EngineFailure(self._hide_key(line), kind)
        if isinstance(error, JSON_ERRORS):
            return EngineFailure(tr(NO_ANSWER, host=self.host), kind)
        return EngineFailure(self._hide_key(self._connection_line(error)), kind)

    def is_cut(self, error: BaseException) -> bool:
        """Whether the server has closed the connection."""
        cuts = (httpx2.RemoteProtocolError, httpx2.ReadError)
        return any(isinstance(cause, cuts) for cause in _causes(error))

    def says_why(self, failure: EngineFailure | None) -> bool:
        """Whether ``failure``, of a stream, has the reason: the server's own, or its silence."""
        chain = list(_causes(failure.__cause__)) if failure and failure.__cause__ else []
        return any(
            isinstance(cause, TimeoutError | httpx2.TimeoutException)
            or (isinstance(cause, openai.APIError) and cause.body is not None)
            for cause in chain
        )

    def no_answer(self, content_type: str, kind: FailureKind = "engine") -> EngineFailure:
        """A response with status 200 that is not what was asked for."""
        if "html" in content_type.lower():
            why = tr(WEB_PAGE, host=self.host, hint=self._v1_hint)
        else:
            why = tr(NO_ANSWER, host=self.host)
        return EngineFailure(why, kind)

    def reason_in(self, body: object, limit: int = _REASON) -> str:
        """The server's own words in the body of an error; empty if there are none.

        Those of the server behind a gateway come first.
        """
        layers = list(_layers(body))
        for behind in filter(None, (provider_error(layer) for layer in layers)):
            if reason := self._words(list(_layers(behind))[-1], limit):
                return reason
        return self._words(layers[-1], limit)

    def _words(self, value: object, limit: int) -> str:
        if not isinstance(value, str) or value.lstrip().startswith("<"):
            return ""
        return clean_line(self._hide_key(value), limit)

    # --- statuses -------------------------------------------------------------------------------

    def _status_line(self, error: openai.APIStatusError) -> str:
        status, host = error.status_code, self.host
        reason = self.reason_in(error.body)
        match status:
            case 401 if self.key:
                return tr("{host} refuses the key (401)", host=host)
            case 401:
                return tr("{host} wants a key (401): {how}", host=host, how=self.how_to_give_key)
            case 403:
                line = tr("{host} does not allow this (403)", host=host)
            case 404 if reason and not _NOT_FOUND.search(reason):
                line = f"{host} (404)"
            case 404:
                return tr(NOTHING_THERE, host=host, url=self.address.url, hint=self._v1_hint)
            case 429 if "insufficient_quota" not in _codes(error.body):
                line = self._busy_line(error)
            case _ if 300 <= status < 400:
                return self._redirect_line(error)
            case _ if status >= 500:
                line = tr("{host} has failed ({status})", host=host, status=status)
            case _:
                line = tr("{host} refuses the request ({status})", host=host, status=status)
        return tr(NAMED, name=line, why=reason) if reason else line

    @property
    def _v1_hint(self) -> str:
        return tr("The address usually ends with /v1; this one is {url}", url=self.address.url)

    def _busy_line(self, error: openai.APIStatusError) -> str:
        after = error.response.headers.get("retry-after", "")
        if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", after):
            return tr("{host} gets too many requests (429)", host=self.host)
        return tr(TRY_AGAIN, host=self.host, seconds=max(1, round(float(after))))

    def _redirect_line(self, error: openai.APIStatusError) -> str:
        target = error.response.headers.get("location", "")
        try:
            other = parse_address(urljoin(f"{self.address.url}/", target)).host
        except (AddressError, ValueError):
            other = tr("another address")
        return tr(REDIRECTS, host=self.host, other=other)

    # --- connections ----------------------------------------------------------------------------

    def _connection_line(self, error: BaseException) -> str:
        host, chain = self.host, list(_causes(error))
        kinds = tuple(type(cause) for cause in chain)
        if any(issubclass(kind, httpx2.ConnectTimeout) for kind in kinds):
            return tr(
                "{host} cannot be reached within {seconds} s", host=host, seconds=f"{CONNECT_S:.0f}"
            )
        if any(issubclass(kind, httpx2.TimeoutException) for kind in kinds):
            return tr(
                "{host} has sent nothing for {seconds} s", host=host, seconds=f"{self.silence_s:g}"
            )
        if any(issubclass(kind, socket.gaierror) for kind in kinds):
            return tr("there is no host {host}, or no network", host=host)
        told = [c for c in chain if isinstance(c, httpx2.HTTPError | OSError) and str(c)]
        reason = clean_line(str(told[-1]), _REASON) if told else tr("without a reason")
        if any(issubclass(kind, ssl.SSLError) for kind in kinds):
            return tr(NO_TLS, host=host, why=reason)
        if any(issubclass(kind, ConnectionRefusedError) for kind in kinds):
            return tr("no server listens at {host}", host=host)
        if any(issubclass(kind, httpx2.ConnectError) for kind in kinds):
            return tr("{host} cannot be reached: {why}", host=host, why=reason)
        if any(issubclass(kind, httpx2.RemoteProtocolError | ConnectionError) for kind in kinds):
            return tr("{host} has closed the connection in the middle of its answer", host=host)
        return tr("{host}: the connection broke: {why}", host=host, why=reason)

    # --- a full context -------------------------------------------------------------------------

    def _too_long(self, body: object) -> EngineFailure | None:
        """The failure for a prompt that has more tokens than the context; None for another.

        Its counts are 0 where the server does not say them.
        """
        fields, codes = _error_fields(body), _codes(body)
        reason = self.reason_in(body, _LONG_REASON)
        full = find_full_context(reason, codes)
        if full is None:
            return None
        n_ctx = count_in(fields.get("n_ctx")) or full.n_ctx
        tokens = count_in(fields.get("n_prompt_tokens")) or full.tokens
        why = clean_line(reason, _REASON) or tr("the conversation is too long")
        return EngineFailure(tr(NAMED, name=self.host, why=why), "too_long", tokens, n_ctx)

    def _hide_key(self, text: str) -> str:
        return text.replace(self.key, "…") if self.key else text


def _layers(body: object) -> Iterator[object]:
    """``body``, and what is inside each other down to the reason; the last one may be it."""
    for _ in range(4):
        if isinstance(body, list):  # as Google's servers do
            body = body[0] if body else ""
        yield body
        if not isinstance(body, Mapping):
            return
        body = next((body[k] for k in ("error", "message", "detail", "msg") if k in body), "")
    yield body[0] if isinstance(body, list) and body else body


def _error_fields(body: object) -> Mapping[Any, Any]:
    error = body.get("error", body) if isinstance(body, Mapping) else body
    return error if isinstance(error, Mapping) else {}


def _codes(body: object) -> set[str]:
    """The names that the body of an error has for it."""
    return {str(_error_fields(body).get(name)) for name in ("code", "type")}


def count_in(value: object) -> int:
    """``value`` as a count of tokens; 0 for anything else, since a server may send anything."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_INT
    return value if is_count and isinstance(value, int) else 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what led to it, the last first."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        origin = cause.__cause__ or cause.__context__
        waiting += [origin] if origin is not None else []
