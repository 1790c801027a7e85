"""The original Baize's transcripts: ``[Human] … [AI] …`` as collected, ``[|Human|]`` as trained.

The original cut a transcript at every marker and dropped the last human block, which loses the last
exchange of each dialogue of its second collector, and all of one with a single exchange. Here only
what has no answer is left out, and the rest is kept.
"""

from __future__ import annotations

import io
import pickle
import re
from typing import Any

from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError

_MARKER = re.compile(r"\[\|?(Human|AI)\|?\]")
_GREETING = ("Hello!", "Hi! How can I help you?")
"""The exchange that the collector's prompt begins with."""


def turns_of(transcript: str, topic: str = "") -> list[Turn]:
    """The turns of a transcript, from a question to an answer.

    What stands before the first marker is a preamble. Where a transcript begins with the AI, as a
    completion does, ``topic`` was what the human had said. The collector's greeting is left out.
    """
    parts = _MARKER.split(transcript)
    turns: list[Turn] = []
    for who, said in zip(parts[1::2], parts[2::2], strict=True):
        text = said.strip()
        role: Any = "user" if who == "Human" else "assistant"
        if not turns and role == "assistant":
            if not topic:
                continue
            turns.append(Turn("user", topic))
        if not text:
            continue
        if turns and turns[-1].role == role:
            # A marker was written twice: it is one turn all the same.
            turns[-1] = Turn(role, f"{turns[-1].content}\n{text}")
        else:
            turns.append(Turn(role, text))
    if tuple(turn.content for turn in turns[:2]) == _GREETING and len(turns) > 2:
        turns = turns[2:]
    while turns and turns[-1].role == "user":
        turns.pop()
    return turns


class _NothingButData(pickle.Unpickler):
    """Reads texts, numbers, lists and dictionaries; every name it is told to look up ends it."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of itself")


def read_pickle(raw: bytes, name: str) -> Any:
    """The data in a pickle, without running anything.

    Raises:
        TrainError: it is damaged, or holds more than data.
    """
    try:
        return _NothingButData(io.BytesIO(raw)).load()
    except pickle.UnpicklingError as error:
        raise TrainError(f"{name}: not data alone, or damaged: {error}") from error
    except (EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(f"{name}: a damaged pickle: {type(error).__name__} {error}") from error
    except (MemoryError, RecursionError, OverflowError) as error:
        raise TrainError(f"{name}: a pickle that cannot be held: {type(error).__name__}") from error
