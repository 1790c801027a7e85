"""Write dialogues as JSON Lines in any of the known corpus formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from baize_shared.atomic_files import replace_when_complete
from baize_shared.json_errors import JSON_ERRORS
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.text_tables import TABLES
from baize_train.errors import TrainError

_OTHER_KINDS = (".parquet", ".pkl", ".pickle")
CorpusFormat = Literal["messages", "sharegpt", "alpaca", "baize"]


class Unwritable(Exception):
    """A dialogue cannot be expressed in a format; the message says why, for the user."""


def check_outputs(outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Check that no corpus is written over another file of the same command, or over what is none.

    Raises:
        TrainError: one would be, or has the name of another kind of file.
    """
    inputs = list(inputs)
    written: set[Path] = set()
    for output in outputs:
        if output.suffix.lower() in (*TABLES, *_OTHER_KINDS):
            raise TrainError(f"{output}: corpora are written as JSON Lines: name it .jsonl")
        if output.exists() and not output.is_file():
            continue  # such as /dev/null, where nothing is lost
        check_not_read(output, inputs)
        if output.resolve() in written:
            raise TrainError(f"{output} would be written twice: name two files")
        written.add(output.resolve())
        if output.exists() and not _begins_as_corpus(output):
            raise TrainError(f"{output} exists, and is no corpus: name another file, or remove it")


def _begins_as_corpus(file: Path) -> bool:
    """Whether the first line is a record, as a corpus of an earlier run has it, or there is none.

    Raises:
        TrainError: it cannot be read.
    """
    try:
        with file.open("rb") as lines:
            first = next((line for line in lines if line.strip()), b"{}")
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    try:
        return isinstance(msgspec.json.decode(first), dict)
    except JSON_ERRORS:
        return False


def check_not_read(output: Path, inputs: Iterable[Path]) -> None:
    """Check that ``output`` is none of ``inputs``, and is not in a folder among them.

    Raises:
        TrainError: it is.
    """
    target = output.resolve()
    for file in inputs:
        read = file.resolve()
        if target == read or (file.is_dir() and target.is_relative_to(read)):
            raise TrainError(
                f"{output} is read by this command, and what is left out would be lost: name "
                "another file"
            )


def write_corpus(
    dialogues: Iterable[Dialogue],
    output: Path,
    format: CorpusFormat,
    on_unwritable: Callable[[Unwritable], object] = lambda error: None,
) -> int:
    """Write ``dialogues`` to ``output`` as JSON Lines and return how many there were.

    ``on_unwritable`` is called for those that the format cannot express, which are left out.

    Raises:
        TrainError: the file cannot be written. An existing file is unchanged then.
    """
    to_record = _CONVERTERS[format]
    count = 0
    try:
        with replace_when_complete(output) as partial, partial.open("wb") as file:
            for dialogue in dialogues:
                try:
                    record = to_record(dialogue)
                except Unwritable as error:
                    on_unwritable(error)
                    continue
                file.write(msgspec.json.encode(record) + b"\n")
                count += 1
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error
    return count


def _as_sharegpt(dialogue: Dialogue) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = []
    for turn in dialogue.messages:
        more: dict[str, Any] = {"name": turn.name, "reasoning_content": turn.reasoning_content}
        more = {key: value for key, value in more.items() if value}
        if not turn.weight:
            more["weight"] = 0
        turns.append({"from": names[turn.role], "value": turn.content, **more})
    return {"id": dialogue.id, "conversations": turns, **_origin(dialogue)}


def _as_alpaca(dialogue: Dialogue) -> dict[str, Any]:
    """With LLaMA-Factory's ``history``: the exchanges before the last one."""
    system, turns = _split_system(dialogue)
    roles = [turn.role for turn in turns]
    if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
        raise Unwritable("alpaca has questions and answers in turns only")
    _require_plain(turns, "alpaca")
    texts = [turn.content for turn in turns]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    record: dict[str, Any] = {
        "id": dialogue.id,
        "instruction": pairs[-1][0],
        "input": "",
        "output": pairs[-1][1],
    }
    if system:
        record["system"] = system
    if len(pairs) > 1:
        record["history"] = pairs[:-1]
    return record | _origin(dialogue)


def _as_baize(dialogue: Dialogue) -> dict[str, Any]:
    system, turns = _split_system(dialogue)
    _require_plain(turns, "baize")
    names = {"user": "[|Human|]", "assistant": "[|AI|]"}
    lines = [f"{names[turn.role]} {turn.content}" for turn in turns if turn.role in names]
    preamble = "The conversation between human and AI assistant."
    text = "\n".join([preamble, *lines, "[|Human|] "])
    written = [(turn.role, turn.content.strip()) for turn in turns]
    if [(turn.role, turn.content) for turn in parse_transcript(text)] != written:
        raise Unwritable(
            "baize cannot express markers in a text, empty turns, or other orders of turns"
        )
    record = {"topic": dialogue.topic, "input": text, "id": dialogue.id}
    return {**record, **({"system": system} if system else {}), **_origin(dialogue)}


def _split_system(dialogue: Dialogue) -> tuple[str, list[Turn]]:
    """The first system turn, and the others."""
    turns = dialogue.messages
    system = turns[0].content if turns and turns[0].role == "system" else ""
    if turns and turns[0] == Turn("system", ""):
        # Not the same as none, for which training takes the prompt of the chat.
        raise Unwritable("an empty system turn can be written as messages or sharegpt only")
    rest = turns[1:] if system else turns
    if any(turn.role == "system" for turn in rest):
        raise Unwritable("a system turn in the middle can be written as messages or sharegpt only")
    return system, rest


def _require_plain(turns: Sequence[Turn], format: CorpusFormat) -> None:
    if any(turn.name or turn.reasoning_content or not turn.weight for turn in turns):
        raise Unwritable(f"{format} has no names, weights or thoughts")


def _origin(dialogue: Dialogue) -> dict[str, Any]:
    """Where a dialogue comes from, as far as that is known."""
    known: dict[str, Any] = {
        "topic": dialogue.topic,
        "source": dialogue.source,
        "teacher": dialogue.meta.get("teacher", ""),
        "meta": {key: value for key, value in dialogue.meta.items() if key != "teacher"},
    }
    return {key: value for key, value in known.items() if value}


_CONVERTERS: dict[CorpusFormat, Callable[[Dialogue], Any]] = {
    "messages": lambda dialogue: dialogue,
    "sharegpt": _as_sharegpt,
    "alpaca": _as_alpaca,
    "baize": _as_baize,
}
