"""Files on the hub that are read by byte ranges."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.hub.requests import HubFile
from baize_convert.hub.streamed_hash import StreamedHash

RANGES_AT_ONCE = 4
"""Ranges that are fetched at once."""
_POLL_S = 0.2
"""How soon a blocked reader notices that the file was closed."""


class RangeFile:
    """A file on the hub, read by ranges; a ``ByteSource`` like ``MappedFile``."""

    is_local = False

    def __init__(self, file: HubFile) -> None:
        """Ask the hub for the location of ``file``.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        self._file = file
        self._location = file.locate()
        self._ahead: dict[tuple[int, int], Future[bytes]] = {}
        self._lock = Lock()
        self._closed = Event()
        self._etag: str | None = None
        """The ETag of the host that sends the bytes; it may differ from the hub's."""
        self._hash = StreamedHash(self._fetch)
        self._pool = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="hub")

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def identity(self) -> str:
        return self._file.identity(self._location.etag)

    @property
    def sha256(self) -> str | None:
        return self._location.sha256

    def __len__(self) -> int:
        return self._location.size

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes from ``start``, fewer at the end of the file.

        Raises:
            ConvertError: the connection is lost for good, or the file was replaced on the hub.
        """
        with self._lock:
            ahead = self._ahead.pop((start, size), None) or self._submit(start, size)
        while True:
            try:
                return ahead.result(_POLL_S)
            except TimeoutError as error:
                if self._closed.is_set():
                    raise ConvertError(
                        f"{self.path}: the file was closed before all of it was read"
                    ) from error

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        """``size`` bytes from ``start``, fewer at the end of the file."""
        return np.frombuffer(self.read(start, size), np.uint8)

    def prefetch(self, start: int, size: int) -> None:
        """Start to fetch bytes that will be read soon."""
        with self._lock:
            if (start, size) not in self._ahead:
                self._ahead[start, size] = self._submit(start, size)

    def _submit(self, start: int, size: int) -> Future[bytes]:
        return self._pool.submit(self._fetch_and_hash, start, size)

    def _fetch_and_hash(self, start: int, size: int) -> bytes:
        part = self._fetch(start, size)
        self._hash.feed(start, part)
        return part

    def skip(self, start: int, size: int) -> None:
        """Declare that these bytes will not be read; they are fetched only for the hash."""
        self._hash.skip(start, size)

    def check_hash(self) -> None:
        """Compare the hash of the bytes read with the hub's, if all of them were read.

        Raises:
            ConvertError: the hashes differ.
        """
        actual = self._hash.hexdigest(len(self))
        if None not in (actual, self.sha256) and actual != self.sha256:
            raise ConvertError(
                f"{self.path} arrived with the SHA-256 {actual}, but the hub's is {self.sha256}: "
                "the download was damaged; start again"
            )

    def release(self, start: int, size: int) -> None:
        """Nothing is kept in memory."""

    def close(self) -> None:
        """Release blocked readers; a request in progress ends by itself."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, start: int, size: int) -> bytes:
        size = max(min(size, len(self) - start), 0)
        if size == 0:
            return b""
        part = self._file.read_range(self._location, start, size)
        if part is None:  # a signed address expires
            self._location, self._etag = self._file.locate_again(self._location), None
            part = self._file.read_range(self._location, start, size)
        if part is None:
            raise self._file.refused_error()
        body, etag = part
        with self._lock:
            self._etag = self._etag or etag
            if etag is not None and etag != self._etag:
                raise self._file.replaced_error()
        return body
