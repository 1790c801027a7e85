"""HTTP requests to the hub: the location of a file, a byte range, or all bytes from one on.

huggingface_hub adds tokens, mirrors and proxies, and repeats requests. A repository is pinned to
one commit and each file to its ETag, so bytes of different versions are never mixed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from baize_convert.failures import ConvertError
from baize_convert.hub.errors import translate_hub_errors
from baize_convert.hub.names import HubName

SHA256 = re.compile(r"[0-9a-f]{64}")
_ATTEMPTS = 5
_TIMEOUT_S = 30.0
_FIRST_WAIT_S = 0.5
_EXPIRED = (401, 403, 404, 410, 302, 307)
"""Statuses of a signed address that has expired."""


@dataclass(frozen=True)
class FileLocation:
    """The current address of a file, its size in bytes and its ETag."""

    url: str
    size: int
    etag: str

    @property
    def sha256(self) -> str | None:
        """The hash of the file, if the ETag is one, as for large files."""
        return self.etag if SHA256.fullmatch(self.etag) else None


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at one commit."""

    repository: HubName
    commit: str
    name: str

    @property
    def path(self) -> Path:
        """The name of the file, for messages."""
        return Path(f"{self.repository}/{self.name}")

    def identity(self, etag: str) -> str:
        """A text that stays the same only as long as the bytes do."""
        return f"{self.repository.repo}@{self.commit}/{self.name} {etag}"

    def locate(self) -> FileLocation:
        """Ask the hub for the current address of the file.

        Raises:
            ConvertError: the hub does not have the file, or does not answer.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        with translate_hub_errors(self.repository):
            url = hf_hub_url(self.repository.repo, self.name, revision=self.commit)
            metadata = get_hf_file_metadata(url, retry_on_errors=True)
        if metadata.size is None or metadata.etag is None:
            raise ConvertError(f"{self.path}: the hub does not give its size")
        return FileLocation(metadata.location, metadata.size, metadata.etag)

    def locate_again(self, before: FileLocation) -> FileLocation:
        """A new address of the same file, after the one in ``before`` has expired.

        Raises:
            ConvertError: the file was replaced on the hub.
        """
        location = self.locate()
        if (location.etag, location.size) != (before.etag, before.size):
            raise self.replaced_error()
        return location

    def replaced_error(self) -> ConvertError:
        """The error for a file that changed on the hub while it was read."""
        return ConvertError(f"{self.path} was replaced on the hub during the download: start again")

    def refused_error(self) -> ConvertError:
        """The error for a file whose new address the host refuses too."""
        return ConvertError(f"{self.path}: the hub no longer gives access to it")

    def _wrong_size_error(self) -> ConvertError:
        return ConvertError(
            f"{self.path} does not have the size that the hub gave: it was replaced, or a proxy "
            "changes it"
        )

    def read_range(
        self, location: FileLocation, start: int, size: int
    ) -> tuple[bytes, str | None] | None:
        """``size`` bytes from ``start`` and their ETag; None if the address has expired.

        Raises:
            ConvertError: the connection is lost for good, or the file was replaced on the hub.
        """
        from huggingface_hub.utils import http_backoff  # type: ignore[attr-defined]

        headers = _headers(location, start, start + size - 1)
        with translate_hub_errors(self.repository):
            response = http_backoff("GET", location.url, headers=headers, **_retry_options())
            if response.status_code in _EXPIRED:
                return None
            response.raise_for_status()
        body: bytes = response.content
        if not _is_part_of(location, response) or len(body) != size:
            raise self._wrong_size_error()
        return body, response.headers.get("ETag")

    def stream(self, location: FileLocation, first: int) -> Iterator[bytes]:
        """The bytes from ``first`` on; connections that break are opened again.

        Raises:
            ConvertError: see ``read_range``.
        """
        from httpx2 import TransportError
        from huggingface_hub.utils import http_stream_backoff  # type: ignore[attr-defined]

        failures = 0
        while first < location.size:
            headers = _headers(location, first, location.size - 1)
            with (
                translate_hub_errors(self.repository),
                http_stream_backoff(
                    "GET", location.url, headers=headers, **_retry_options()
                ) as response,
            ):
                if response.status_code in _EXPIRED:
                    location = self.locate_again(location)
                else:
                    response.raise_for_status()
                    if not _is_part_of(location, response):
                        raise self._wrong_size_error()
                    try:
                        for piece in response.iter_raw():
                            first, failures = first + len(piece), 0
                            yield piece
                        continue
                    except TransportError:
                        if failures == _ATTEMPTS:
                            raise
            failures += 1
            if failures > _ATTEMPTS:
                raise self.refused_error()
            time.sleep(_FIRST_WAIT_S * 2 ** (failures - 1))


def _headers(location: FileLocation, first: int, last: int) -> dict[str, str]:
    """The headers of a request for bytes ``first`` to ``last``, both included."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
    if urlsplit(location.url).netloc == urlsplit(constants.ENDPOINT).netloc:
        headers |= build_hf_headers()  # the token goes to the hub only
    return headers


def _retry_options() -> dict[str, Any]:
    """Arguments of huggingface_hub's ``http_backoff``: how often and how long to retry."""
    from httpx2 import TransportError

    return {
        "max_retries": _ATTEMPTS,
        "base_wait_time": _FIRST_WAIT_S,
        "retry_on_exceptions": (TransportError,),
        "retry_on_status_codes": (429, 500, 502, 503, 504),
        "timeout": _TIMEOUT_S,
        "follow_redirects": False,
    }


def _is_part_of(location: FileLocation, response: Any) -> bool:
    """Whether ``response`` is a range of a file that has the size in ``location``."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return bool(response.status_code == 206 and total == str(location.size))
