"""A corpus that grows: a line for each dialogue, on the disk before the next one is counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import msgspec

from baize_train.dialogues import Dialogue
from baize_train.failures import TrainError


class CorpusFile:
    """JSON lines that are only added to; what a killed process had begun to write is cut off."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, or begin it.

        Raises:
            TrainError: it cannot be written, or is no corpus of this program.
        """
        self.path = path
        self.dialogues: list[Dialogue] = []
        try:
            self._file = path.open("ab+")
            self._file.seek(0)
            raw = self._file.read()
            whole = raw[: raw.rfind(b"\n") + 1]
            if len(whole) < len(raw):
                self._file.truncate(len(whole))
        except OSError as error:
            raise TrainError(f"{path}: {error.strerror}") from error
        decode = msgspec.json.Decoder(Dialogue).decode
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self.dialogues.append(decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise TrainError(f"{path}:{number}: not a line of a collection: {error}") from error

    @property
    def keys(self) -> set[str]:
        """What its dialogues were begun with."""
        return {str(dialogue.meta.get("key", "")) for dialogue in self.dialogues}

    def add(self, dialogue: Dialogue) -> None:
        """Write ``dialogue``; it is on the disk when this returns.

        Raises:
            TrainError: it cannot be written; what was there stays.
        """
        try:
            self._file.write(msgspec.json.encode(dialogue) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainError(
                f"{self.path}: {error.strerror}; the same command goes on from here"
            ) from error
        self.dialogues.append(dialogue)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
