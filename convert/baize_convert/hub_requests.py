"""What is asked of the hub over HTTP: where a file lies, a part of it, or its bytes from one on.

huggingface_hub holds tokens, mirrors and proxies and tries again; a repository is pinned to one
commit, and each file to its ETag: what changes on the hub meanwhile is noticed and never mixed.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from baize_convert.failures import ConvertError
from baize_convert.hub_names import HubName

SHA256 = re.compile(r"[0-9a-f]{64}")
_ATTEMPTS = 5
_TIMEOUT_S = 30.0
_FIRST_WAIT_S = 0.5
_NO_LONGER_GOOD = (401, 403, 404, 410, 302, 307)
"""Statuses of an address that was good for some time only."""


@dataclass(frozen=True)
class Place:
    """Where a file lies now, and what it is."""

    url: str
    size: int
    etag: str

    @property
    def sha256(self) -> str | None:
        """The hub's own, where the ETag is one: large files have it."""
        return self.etag if SHA256.fullmatch(self.etag) else None


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at one commit."""

    repository: HubName
    commit: str
    name: str

    @property
    def path(self) -> Path:
        """Its name, for messages."""
        return Path(f"{self.repository}/{self.name}")

    def identity(self, etag: str) -> str:
        """What does not change while the bytes do not."""
        return f"{self.repository.repo}@{self.commit}/{self.name} {etag}"

    def place(self) -> Place:
        """Where it lies now.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        with clear(self.repository):
            url = hf_hub_url(self.repository.repo, self.name, revision=self.commit)
            found = get_hf_file_metadata(url, retry_on_errors=True)
        if found.size is None or found.etag is None:
            raise ConvertError(f"{self.path}: the hub does not tell its size")
        return Place(found.location, found.size, found.etag)

    def same_place(self, before: Place) -> Place:
        """Where it lies now.

        Raises:
            ConvertError: it is another file.
        """
        place = self.place()
        if (place.etag, place.size) != (before.etag, before.size):
            raise self.replaced()
        return place

    def replaced(self) -> ConvertError:
        return ConvertError(f"{self.path} was replaced on the hub meanwhile: begin anew")

    def _other_size(self) -> ConvertError:
        return ConvertError(
            f"{self.path} is of another size than the hub said: it was replaced, or something "
            "between here and the hub changes it"
        )

    def get(self, place: Place, start: int, size: int) -> tuple[bytes, str | None] | None:
        """A range and its ETag; None where the address is no longer good.

        Raises:
            ConvertError: the connection is lost for good, or the file is another one now.
        """
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there
            http_backoff,
        )

        headers = _headers(place, start, start + size - 1)
        with clear(self.repository):
            response = http_backoff("GET", place.url, headers=headers, **_tries())
            if response.status_code in _NO_LONGER_GOOD:
                return None
            response.raise_for_status()
        body: bytes = response.content
        if not _is_of(place, response) or len(body) != size:
            raise self._other_size()
        return body, response.headers.get("ETag")

    def pieces(self, place: Place, first: int) -> Iterator[bytes]:
        """Its bytes from ``first`` on, across connections that break.

        Raises:
            ConvertError: see ``get``.
        """
        from httpx2 import TransportError
        from huggingface_hub.utils import http_stream_backoff  # type: ignore[attr-defined]

        breaks = 0
        while first < place.size:
            headers = _headers(place, first, place.size - 1)
            with (
                clear(self.repository),
                http_stream_backoff("GET", place.url, headers=headers, **_tries()) as response,
            ):
                if response.status_code in _NO_LONGER_GOOD:
                    place = self.same_place(place)
                else:
                    response.raise_for_status()
                    if not _is_of(place, response):
                        raise self._other_size()
                    try:
                        for piece in response.iter_raw():
                            first, breaks = first + len(piece), 0
                            yield piece
                        continue
                    except TransportError:
                        if breaks == _ATTEMPTS:
                            raise
            breaks += 1
            if breaks > _ATTEMPTS:
                raise ConvertError(f"{self.path}: the hub no longer hands it out")
            time.sleep(_FIRST_WAIT_S * 2 ** (breaks - 1))


def _headers(place: Place, first: int, last: int) -> dict[str, str]:
    """Those of a request for bytes ``first`` to ``last``."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
    if urlsplit(place.url).netloc == urlsplit(constants.ENDPOINT).netloc:
        headers |= build_hf_headers()  # a token goes to the hub, and to no other host
    return headers


def _tries() -> dict[str, Any]:
    """How often and how long a request is tried, of huggingface_hub's ``http_backoff``."""
    from httpx2 import TransportError

    return {
        "max_retries": _ATTEMPTS,
        "base_wait_time": _FIRST_WAIT_S,
        "retry_on_exceptions": (TransportError,),
        "retry_on_status_codes": (429, 500, 502, 503, 504),
        "timeout": _TIMEOUT_S,
        "follow_redirects": False,
    }


def _is_of(place: Place, response: Any) -> bool:
    """Whether ``response`` is a part of a file of the size that the hub said."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return bool(response.status_code == 206 and total == str(place.size))


@contextmanager
def clear(name: HubName) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    from httpx2 import HTTPError
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    # It tells of every try and of small files; what counts is said here.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConvertError(
            f"{name}: its owner wants terms accepted: do so on its page, then 'hf auth login'"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConvertError(f"{name}: no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise ConvertError(
            f"{name}: no such repository, or a private one: 'hf auth login' shows who you are"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if constants.HF_HUB_OFFLINE:
            raise ConvertError(f"{name}: the network is off, and it is not all here") from error
        raise _unreachable(name, error) from error
    except errors.EntryNotFoundError as error:
        raise ConvertError(f"{name}: {_line(error)}") from error
    except (errors.HfHubHTTPError, HTTPError, OSError) as error:
        raise _unreachable(name, error) from error


def _unreachable(name: HubName, error: Exception) -> ConvertError:
    return ConvertError(
        f"{name}: the hub cannot be reached, or fails ({_line(error)}): the same command goes on "
        "later"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
