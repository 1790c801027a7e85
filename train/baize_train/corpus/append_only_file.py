"""JSON Lines files that only grow: each record is on disk before the next one is counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Self, TypeVar

import msgspec

from baize_shared.file_locks import try_lock
from baize_shared.interruption import note_kept_work
from baize_shared.json_errors import JSON_ERRORS
from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError

Record = TypeVar("Record", bound=msgspec.Struct)


class AppendOnlyFile(Generic[Record]):
    """A JSON Lines file of one record type, locked for this process while it is open.

    All of it is read before a byte of it changes. Then an incomplete last line, which a killed
    process left, is cut off.
    """

    def __init__(self, path: Path, record_type: type[Record]) -> None:
        """Open or create ``path`` and read its records.

        Raises:
            TrainError: the file cannot be written, contains something else, or another process
                writes it.
        """
        self.path = path
        self.records: list[Record] = []
        self._type = record_type
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TrainError(f"{path}: {error.strerror}") from error
        # Without a buffer: what could not be written must not be written later.
        self._file = os.fdopen(descriptor, "ab+", buffering=0)
        try:
            if not try_lock(descriptor):
                raise TrainError(
                    f"{path}: another command is writing it: wait for its end, or choose another "
                    "output"
                )
            self._read()
        except BaseException:
            self._file.close()
            raise
        if self.records:
            note_kept_work()

    def _read(self) -> None:
        try:
            self._file.seek(0)
            raw = self._file.readall()
        except OSError as error:
            raise TrainError(f"{self.path}: {error.strerror}") from error
        complete, newline, rest = raw.rpartition(b"\n")
        decode = msgspec.json.Decoder(self._type).decode
        for number, line in enumerate(complete.split(b"\n") if newline else (), 1):
            try:
                self.records.append(decode(line))
            except JSON_ERRORS as error:
                raise TrainError(
                    f"{self.path}:{number}: this file was not written by baize-train ({error}): "
                    "choose another output"
                ) from error
        if rest:
            self._finish_last_line(len(complete) + len(newline), rest)

    def _finish_last_line(self, start: int, line: bytes) -> None:
        """The last line has no end: complete it, or cut off what a killed process left of it."""
        try:
            record = msgspec.json.decode(line, type=self._type)
        except JSON_ERRORS as error:
            if not self._may_be_ours(line):
                raise TrainError(
                    f"{self.path}: this file was not written by baize-train: choose another output"
                ) from error
            self._change(lambda: self._file.truncate(start))
            return
        self._change(lambda: self._write(b"\n"))
        self.records.append(record)

    def _may_be_ours(self, line: bytes) -> bool:
        """Whether ``line`` is the beginning of a record."""
        beginning = f'{{"{self._type.__struct_encode_fields__[0]}":'.encode()
        return line.startswith(beginning) or beginning.startswith(line)

    def add(self, record: Record) -> None:
        """Append ``record``; it is on disk when this returns.

        Raises:
            TrainError: it cannot be written. Earlier records are kept, and nothing else is.
        """
        before = os.fstat(self._file.fileno()).st_size
        try:
            self._change(lambda: self._write(msgspec.json.encode(record) + b"\n"))
        except TrainError:
            with contextlib.suppress(OSError):
                self._file.truncate(before)
            raise
        self.records.append(record)
        note_kept_work()

    def _change(self, change: Callable[[], object]) -> None:
        try:
            change()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainError(
                f"{self.path}: {error.strerror}; run the same command to continue from here"
            ) from error

    def _write(self, line: bytes) -> None:
        while line:
            line = line[self._file.write(line) :]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class GrowingCorpus(AppendOnlyFile[Dialogue]):
    """A corpus while it is being collected."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Dialogue)

    @property
    def keys(self) -> set[str]:
        """The ``record_key`` of each dialogue."""
        return {str(dialogue.meta.get("key", "")) for dialogue in self.records}
