"""Files that grow: a line for each dialogue, on the disk before the next one is counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, Self, TypeVar

import msgspec

from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError

Line = TypeVar("Line")


class GrowingFile(Generic[Line]):
    """JSON lines that are only added to; what a killed process had begun to write is cut off."""

    def __init__(self, path: Path, line: type[Line]) -> None:
        """Open ``path``, or begin it.

        Raises:
            TrainError: it cannot be written, or is no file of this program.
        """
        self.path = path
        self.lines: list[Line] = []
        try:
            self._file = path.open("ab+")
            self._file.seek(0)
            raw = self._file.read()
            whole = raw[: raw.rfind(b"\n") + 1]
            if len(whole) < len(raw):
                self._file.truncate(len(whole))
        except OSError as error:
            raise TrainError(f"{path}: {error.strerror}") from error
        decode = msgspec.json.Decoder(line).decode
        for number, one in enumerate(whole.splitlines(), 1):
            try:
                self.lines.append(decode(one))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise TrainError(f"{path}:{number}: not a line of a collection: {error}") from error

    def add(self, line: Line) -> None:
        """Write ``line``; it is on the disk when this returns.

        Raises:
            TrainError: it cannot be written; what was there stays.
        """
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainError(
                f"{self.path}: {error.strerror}; the same command goes on from here"
            ) from error
        self.lines.append(line)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CorpusFile(GrowingFile[Dialogue]):
    """A corpus while it is collected."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Dialogue)

    @property
    def dialogues(self) -> list[Dialogue]:
        return self.lines

    @property
    def keys(self) -> set[str]:
        """What its dialogues were begun with."""
        return {str(dialogue.meta.get("key", "")) for dialogue in self.lines}
