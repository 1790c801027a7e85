"""JSON Lines files that only grow: each record is on disk before the next one is counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, Self, TypeVar

import msgspec

from baize_shared.interruption import note_kept_work
from baize_shared.json_errors import JSON_ERRORS
from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError

Record = TypeVar("Record")


class AppendOnlyFile(Generic[Record]):
    """A JSON Lines file of one record type.

    Opening it cuts off an incomplete last line, which a killed process left.
    """

    def __init__(self, path: Path, record_type: type[Record]) -> None:
        """Open or create ``path`` and read its records.

        Raises:
            TrainError: the file cannot be written, or contains other records.
        """
        self.path = path
        self.records: list[Record] = []
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "ab+")
            self._file.seek(0)
            raw = self._file.read()
            complete = raw[: raw.rfind(b"\n") + 1]
            if len(complete) < len(raw):
                self._file.truncate(len(complete))
        except OSError as error:
            raise TrainError(f"{path}: {error.strerror}") from error
        decode = msgspec.json.Decoder(record_type).decode
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                self.records.append(decode(line))
            except JSON_ERRORS as error:
                raise TrainError(
                    f"{path}:{number}: this file was not written by baize-train: {error}"
                ) from error
        if self.records:
            note_kept_work()

    def add(self, record: Record) -> None:
        """Append ``record``; it is on disk when this returns.

        Raises:
            TrainError: it cannot be written. Earlier records are kept.
        """
        try:
            self._file.write(msgspec.json.encode(record) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainError(
                f"{self.path}: {error.strerror}; run the same command to continue from here"
            ) from error
        self.records.append(record)
        note_kept_work()

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
