"""Files of the hub that parts are read of: by ranges from there, or out of the hub's cache."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.hub_requests import SHA256, HubFile
from baize_convert.stored_tensors import MappedFile
from baize_convert.streamed_hash import StreamedHash

WINDOW = 4
"""Ranges that are fetched ahead."""
_POLL_S = 0.2
"""How soon who waits for bytes hears that nobody wants them any more."""


class CachedFile(MappedFile):
    """A file of the hub that its cache holds, whole and checked."""

    def __init__(self, file: HubFile, path: Path) -> None:
        super().__init__(path)
        blob = path.resolve().name
        self.sha256 = blob if SHA256.fullmatch(blob) else None
        self._identity = file.identity(blob)

    @property
    def identity(self) -> str:
        return self._identity


class RangeFile:
    """A file on the hub, read by ranges; see ``MappedFile`` for what is on this machine."""

    is_local = False

    def __init__(self, file: HubFile) -> None:
        """Ask where ``file`` lies.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        self._file = file
        self._place = file.place()
        self._ahead: dict[tuple[int, int], Future[bytes]] = {}
        self._lock = Lock()
        self._closed = Event()
        self._etag: str | None = None
        """What the host of the bytes calls them; not always what the hub does."""
        self._hash = StreamedHash(self._fetch)
        self._pool = ThreadPoolExecutor(WINDOW, thread_name_prefix="hub")

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def identity(self) -> str:
        return self._file.identity(self._place.etag)

    @property
    def sha256(self) -> str | None:
        return self._place.sha256

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
        return self._pool.submit(self._fetch_and_hash, start, size)

    def _fetch_and_hash(self, start: int, size: int) -> bytes:
        part = self._fetch(start, size)
        self._hash.feed(start, part)
        return part

    def pass_over(self, start: int, size: int) -> None:
        self._hash.pass_over(start, size)

    def check(self) -> None:
        """Whether what was read is what the hub has, where all of it was read.

        Raises:
            ConvertError: it is not.
        """
        found = self._hash.hexdigest(len(self))
        if None not in (found, self.sha256) and found != self.sha256:
            raise ConvertError(
                f"{self.path} came with the SHA-256 {found}, and the hub's is {self.sha256}: it "
                "was damaged on its way; begin anew"
            )

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
        found = self._file.get(self._place, start, size)
        if found is None:  # a signed address is good for some time only
            self._place, self._etag = self._file.same_place(self._place), None
            found = self._file.get(self._place, start, size)
        if found is None:
            raise ConvertError(f"{self.path}: the hub no longer hands it out")
        body, etag = found
        with self._lock:
            self._etag = self._etag or etag
            if etag is not None and etag != self._etag:
                raise self._file.replaced()
        return body
