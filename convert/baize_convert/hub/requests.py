"""Requests for a file of the hub: its location, a byte range, all bytes from one on, or all of it.

A repository is pinned to one commit and each file to its ETag, so bytes of different versions are
never mixed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from baize_convert.failures import ConvertError
from baize_convert.hub.answers import parse_etag, parse_size
from baize_convert.hub.errors import hub_error, status_error
from baize_convert.hub.exchange import (
    ATTEMPTS,
    TEMPORARY,
    ask,
    follow,
    hub_headers,
    is_web_page,
    open_answer,
    read_body,
    redirect_target,
    unusable,
    wait_after,
)
from baize_convert.hub.names import HubName

if TYPE_CHECKING:
    from httpx2 import Response

SHA256 = re.compile(r"[0-9a-f]{64}")
_LINKED = ("X-Linked-ETag", "X-Linked-Size")
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
            ConvertError: the hub does not have the file, or does not answer as the hub.
        """
        from huggingface_hub import hf_hub_url

        linked: dict[str, str] = {}
        """Headers of redirects about the file that they point to."""

        def pass_by(answer: Response) -> None:
            linked.update(
                {name: answer.headers[name] for name in _LINKED if name in answer.headers}
            )

        def read(url: str, answer: Response) -> FileLocation:
            pass_by(answer)
            return self._read_location(url, answer, linked)

        url = hf_hub_url(self.repository.repo, self.name, revision=self.commit)
        return follow(self.path, "HEAD", url, read, pass_by=pass_by)

    def _read_location(self, url: str, answer: Response, linked: dict[str, str]) -> FileLocation:
        elsewhere = redirect_target(self.path, url, answer)
        etag = parse_etag(linked.get("X-Linked-ETag") or answer.headers.get("ETag"))
        length = None if elsewhere is not None else answer.headers.get("Content-Length")
        size = parse_size(linked.get("X-Linked-Size") or length)
        commit = answer.headers.get("X-Repo-Commit")
        if etag is None or size is None or commit not in (None, self.commit):
            what = "lacks its size or its hash"
            raise unusable(self.path, what, answer)
        return FileLocation(elsewhere or url, size, etag)

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

    def read_range(
        self, location: FileLocation, start: int, size: int
    ) -> tuple[bytes, str | None] | None:
        """``size`` bytes from ``start`` and their ETag; None if the address has expired.

        Raises:
            ConvertError: the connection is lost for good, or the file was replaced on the hub.
        """

        def read(answer: Response) -> tuple[bytes, str | None] | None:
            if answer.status_code in _EXPIRED:
                return None
            self._check_part(location, answer)
            body = read_body(self.path, answer, size)
            if len(body) != size:
                raise self._wrong_size_error(answer)
            return body, answer.headers.get("ETag")

        headers = _range_headers(location, start, start + size - 1)
        return ask(self.path, "GET", location.url, headers, read)

    def read_whole(self, location: FileLocation) -> bytes:
        """All bytes of a small file.

        Raises:
            ConvertError: the connection is lost for good, or the file has another size.
        """

        def read(answer: Response) -> bytes:
            if answer.status_code >= 400:
                raise status_error(self.path, answer)
            body = read_body(self.path, answer, location.size)
            if answer.status_code != 200 or len(body) != location.size:
                raise self._wrong_size_error(answer)
            return body

        return ask(self.path, "GET", location.url, hub_headers(location.url), read)

    def stream(self, location: FileLocation, first: int) -> Iterator[bytes]:
        """The bytes from ``first`` on; connections that break are opened again.

        Raises:
            ConvertError: see ``read_range``.
        """
        from httpx2 import TransportError

        failures = 0
        while first < location.size:
            began, error, answer = first, self.refused_error(), None
            headers = _range_headers(location, first, location.size - 1)
            try:
                with open_answer(self.path, "GET", location.url, headers) as answer:
                    if answer.status_code in TEMPORARY:
                        error = status_error(self.path, answer)
                    elif answer.status_code in _EXPIRED:
                        location = self.locate_again(location)
                    else:
                        self._check_part(location, answer)
                        for piece in answer.iter_raw():
                            if first + len(piece) > location.size:
                                raise self._wrong_size_error(answer)
                            first += len(piece)
                            yield piece
            except TransportError as broken:
                error = hub_error(self.path, broken)
            failures = 0 if first > began else failures + 1
            if failures >= ATTEMPTS:
                raise error
            if first < location.size:
                time.sleep(wait_after(failures or 1, answer))

    def _check_part(self, location: FileLocation, answer: Response) -> None:
        """Check that an answer is a range of the file, as it is stored there."""
        if answer.status_code >= 400:
            raise status_error(self.path, answer)
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        if answer.status_code != 206 or total != str(location.size) or encoded:
            raise self._wrong_size_error(answer)

    def _wrong_size_error(self, answer: Response) -> ConvertError:
        if is_web_page(answer):
            return unusable(self.path, "", answer)
        return ConvertError(
            f"{self.path} does not have the size that the hub gave: it was replaced, or a proxy "
            "changes it"
        )


def _range_headers(location: FileLocation, first: int, last: int) -> dict[str, str]:
    """The headers of a request for bytes ``first`` to ``last``, both included."""
    return {**hub_headers(location.url), "Range": f"bytes={first}-{last}"}
