"""Models on the Hugging Face hub: small files through its cache, weights by byte ranges.

huggingface_hub resolves names, holds tokens, mirrors and proxies; a range is asked for here, as it
has no way to read a part of a file. A repository is pinned to one commit, and each file to its
ETag: what changes on the hub meanwhile is noticed and never mixed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError

PREFIX = "hf:"
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_SMALL = ["*.json", "*.model", "*.jinja", "*.md", "*.txt"]
_ATTEMPTS = 5
_TIMEOUT_S = 30.0
_POLL_S = 0.2
"""How soon who waits for bytes hears that nobody wants them any more."""
_FIRST_WAIT_S = 0.5
WINDOW = 4
"""Ranges that are fetched ahead."""


@dataclass(frozen=True)
class HubName:
    """``hf:owner/name@revision``."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{PREFIX}{self.repo}{at}"


def parse_name(text: str) -> HubName:
    """The name in ``text``, which begins with ``hf:``.

    Raises:
        ConvertError: it is none.
    """
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None or ".." in text:
        raise ConvertError(f"{text}: not a name on the hub; write hf:owner/name or with @revision")
    return HubName(found["repo"], found["revision"] or "main")


@dataclass(frozen=True)
class _Place:
    """Where a file lies now, and what it is."""

    url: str
    size: int
    etag: str


class HubRepository:
    """A repository at one commit; ``folder`` holds its small files."""

    def __init__(self, name: HubName, commit: str, folder: Path, files: frozenset[str]) -> None:
        self.name, self.commit, self.folder, self.files = name, commit, folder, files

    @property
    def label(self) -> str:
        return self.name.repo

    def has(self, file: str) -> bool:
        return file in self.files

    def open(self, file: str) -> RangeFile:
        """A file to read parts of.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        return RangeFile(self, file)

    def place_of(self, file: str) -> _Place:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        with _clear(self.name):
            url = hf_hub_url(self.name.repo, file, revision=self.commit)
            found = get_hf_file_metadata(url, retry_on_errors=True)
        if found.size is None or found.etag is None:
            raise ConvertError(f"{self.name}: the hub does not tell the size of {file}")
        return _Place(found.location, found.size, found.etag)


def open_repository(name: HubName) -> HubRepository:
    """Pin ``name`` to the commit it has now, and fetch its small files into the hub's cache.

    Raises:
        ConvertError: there is none, it is gated or private, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    with _clear(name):
        info = HfApi().model_info(name.repo, revision=name.revision)
        files = frozenset(one.rfilename for one in info.siblings or [])
        folder = snapshot_download(name.repo, revision=info.sha, allow_patterns=_SMALL)
    return HubRepository(name, str(info.sha), Path(folder), files)


def fetch_adapter(name: HubName) -> Path:
    """The folder of an adapter on the hub, fetched into the hub's cache.

    Raises:
        ConvertError: see ``open_repository``.
    """
    from huggingface_hub import snapshot_download

    with _clear(name):
        wanted = [*_SMALL, "adapter_model.*"]
        folder = snapshot_download(name.repo, revision=name.revision, allow_patterns=wanted)
    return Path(folder)


class RangeFile:
    """A file on the hub, read by ranges; see ``MappedFile`` for what is on this machine."""

    is_local = False

    def __init__(self, repository: HubRepository, name: str) -> None:
        self._repository, self.name = repository, name
        self._place = repository.place_of(name)
        self._ahead: dict[tuple[int, int], Future[bytes]] = {}
        self._lock = Lock()
        self._closed = Event()
        self._etag: str | None = None
        """What the host of the bytes calls them; not always what the hub does."""
        self._pool = ThreadPoolExecutor(WINDOW, thread_name_prefix="hub")

    @property
    def path(self) -> Path:
        """Its name, for messages."""
        return Path(f"{self._repository.name}/{self.name}")

    @property
    def identity(self) -> str:
        """What does not change while the bytes do not."""
        return (
            f"{self._repository.name.repo}@{self._repository.commit}/{self.name} {self._place.etag}"
        )

    @property
    def sha256(self) -> str | None:
        """The hub's own, where the ETag is one: large files have it."""
        etag = self._place.etag
        return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None

    def __len__(self) -> int:
        return self._place.size

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes from ``start``, fewer at the end of the file.

        Raises:
            ConvertError: the connection is lost for good, or the file is another one now.
        """
        with self._lock:
            ahead = self._ahead.pop((start, size), None) or self._submit(start, size)
        while True:
            try:
                return ahead.result(_POLL_S)
            except TimeoutError as error:
                if self._closed.is_set():
                    raise ConvertError(f"{self.path}: not read to its end") from error

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        return np.frombuffer(self.read(start, size), np.uint8)

    def prefetch(self, start: int, size: int) -> None:
        """Begin to fetch what will be read soon."""
        with self._lock:
            if (start, size) not in self._ahead:
                self._ahead[start, size] = self._submit(start, size)

    def _submit(self, start: int, size: int) -> Future[bytes]:
        return self._pool.submit(self._fetch, start, size)

    def drop(self, start: int, size: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Let go of who waits; a request on its way ends by itself."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, start: int, size: int) -> bytes:
        size = max(min(size, len(self) - start), 0)
        if size == 0:
            return b""
        found = _get(self._repository, self.name, self._place, start, size)
        if found is None:  # a signed address is good for some time only
            self._place, self._etag = self._same_place(), None
            found = _get(self._repository, self.name, self._place, start, size)
        if found is None:
            raise ConvertError(f"{self.path}: the hub no longer hands it out")
        body, etag = found
        with self._lock:
            self._etag = self._etag or etag
            if etag is not None and etag != self._etag:
                raise self._replaced()
        return body

    def _replaced(self) -> ConvertError:
        return ConvertError(f"{self.path} was replaced on the hub meanwhile: begin anew")

    def _same_place(self) -> _Place:
        place = self._repository.place_of(self.name)
        if (place.etag, place.size) != (self._place.etag, self._place.size):
            raise self._replaced()
        return place


def _get(
    repository: HubRepository, name: str, place: _Place, start: int, size: int
) -> tuple[bytes, str | None] | None:
    """A range and its ETag; None where the address is no longer good."""
    from httpx2 import TransportError
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there
        build_hf_headers,
        http_backoff,
    )

    headers = {"Range": f"bytes={start}-{start + size - 1}", "Accept-Encoding": "identity"}
    if urlsplit(place.url).netloc == urlsplit(constants.ENDPOINT).netloc:
        headers |= build_hf_headers()  # a token goes to the hub, and to no other host
    with _clear(repository.name):
        response = http_backoff(
            "GET",
            place.url,
            max_retries=_ATTEMPTS,
            base_wait_time=_FIRST_WAIT_S,
            retry_on_exceptions=(TransportError,),
            retry_on_status_codes=(429, 500, 502, 503, 504),
            headers=headers,
            timeout=_TIMEOUT_S,
            follow_redirects=False,
        )
        if response.status_code in (401, 403, 404, 410, 302, 307):
            return None
        response.raise_for_status()
    body: bytes = response.content
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code != 206 or len(body) != size or total != str(place.size):
        raise ConvertError(
            f"{repository.name}: {name} is of another size than the hub said: it was replaced, or "
            "something between here and the hub changes it"
        )
    return body, response.headers.get("ETag")


@contextmanager
def _clear(name: HubName) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    from httpx2 import HTTPError
    from huggingface_hub import errors
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
    except errors.EntryNotFoundError as error:
        raise ConvertError(f"{name}: {_line(error)}") from error
    except errors.OfflineModeIsEnabled as error:
        raise ConvertError(f"{name}: HF_HUB_OFFLINE is set, and it is not all here") from error
    except (errors.HfHubHTTPError, HTTPError, OSError) as error:
        raise ConvertError(
            f"{name}: the hub cannot be reached, or fails ({_line(error)}): the same command goes "
            "on later"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
