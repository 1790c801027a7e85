"""Write dialogues as JSON Lines in any of the known corpus formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from baize_shared.atomic_files import replace_when_complete
from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError

CorpusFormat = Literal["messages", "sharegpt", "alpaca", "baize"]


def write_corpus(dialogues: Iterable[Dialogue], output: Path, format: CorpusFormat) -> int:
    """Write ``dialogues`` to ``output`` as JSON Lines and return how many there were.

    Raises:
        TrainError: the file cannot be written. An existing file is unchanged then.
    """
    to_records = _CONVERTERS[format]
    count = 0
    try:
        with replace_when_complete(output) as partial, partial.open("wb") as file:
            for dialogue in dialogues:
                for record in to_records(dialogue):
                    file.write(msgspec.json.encode(record) + b"\n")
                count += 1
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error
    return count


def _as_messages(dialogue: Dialogue) -> Iterator[Any]:
    yield dialogue


def _as_sharegpt(dialogue: Dialogue) -> Iterator[Any]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = [{"from": names[turn.role], "value": turn.content} for turn in dialogue.messages]
    yield {"id": dialogue.id, "conversations": turns}


def _as_alpaca(dialogue: Dialogue) -> Iterator[Any]:
    """One record for each exchange: an instruction has no history."""
    question = ""
    for turn in dialogue.messages:
        if turn.role == "assistant":
            yield {"instruction": question, "input": "", "output": turn.content}
        else:
            question = turn.content


def _as_baize(dialogue: Dialogue) -> Iterator[Any]:
    names = {"user": "[|Human|]", "assistant": "[|AI|]"}
    lines = [f"{names[t.role]} {t.content}" for t in dialogue.messages if t.role != "system"]
    preamble = "The conversation between human and AI assistant."
    yield {"topic": dialogue.topic, "input": "\n".join([preamble, *lines, "[|Human|] "])}


_CONVERTERS: dict[CorpusFormat, Callable[[Dialogue], Iterator[Any]]] = {
    "messages": _as_messages,
    "sharegpt": _as_sharegpt,
    "alpaca": _as_alpaca,
    "baize": _as_baize,
}
