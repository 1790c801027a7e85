"""Answers marked as good or bad, from a file to what KTO learns from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.reading import InvalidRecord, read_corpus
from baize_train.feedback.marks import MarkedAnswer, has_marks, read_marks

GOOD = {"prompt": [{"role": "user", "content": "Two?"}], "completion": "Three.", "label": True}
BAD = {"prompt": "One?", "completion": [{"role": "assistant", "content": "No."}], "label": False}


def write(file: Path, *records: object) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_marks_are_read_with_their_questions(tmp_path: Path) -> None:
    file = write(tmp_path / "marks.jsonl", GOOD, BAD)
    assert has_marks(file)
    assert read_marks([file]) == [
        MarkedAnswer([Turn("user", "Two?")], "Three.", good=True),
        MarkedAnswer([Turn("user", "One?")], "No.", good=False),
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Two?", "completion": "Three.", "label": "True"},
        {"prompt": "Two?", "completion": "Three.", "label": 1},
        {"instruction": "Two?", "output": "Three.", "kto_tag": True},
        {"prompt": "Two?", "completion": "Three.", "label": "desirable"},
        {"messages": [*GOOD["prompt"], {"role": "assistant", "content": "Three."}], "label": True},  # type: ignore[misc]
    ],
)
def test_marks_of_other_programs_are_read(record: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path / "marks.jsonl", record)
    assert has_marks(file)
    assert read_marks([file]) == [MarkedAnswer([Turn("user", "Two?")], "Three.", good=True)]


@pytest.mark.parametrize("label", [False, 0, 0.0, "False", "0", " false ", "undesirable", "Bad"])
def test_an_answer_marked_as_bad_is_never_trained(label: object, tmp_path: Path) -> None:
    for key in ("label", "kto_tag"):
        for marked in ({"question": "One?", "answer": "No."}, BAD):
            record = {**marked, "label": None, key: label}
            (read,) = read_corpus(write(tmp_path / "a.jsonl", record))
            assert isinstance(read, InvalidRecord)
            assert "marked as bad" in read.problem


def test_a_label_of_something_else_is_no_mark(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"question": "One?", "answer": "Yes.", "label": "science"})
    unread: Counter[str] = Counter()
    (read,) = read_corpus(file, unread=unread)
    assert isinstance(read, Dialogue)
    assert unread == {"label": 1}
    assert isinstance(next(read_corpus(file, {"user": "question", "assistant": "label"})), Dialogue)


def test_keys_of_marks_that_are_not_read_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_marks([write(tmp_path / "m.jsonl", {**GOOD, "comment": "Too long."})])
    assert "m.jsonl: keys with text that are not read: comment (1)" in capsys.readouterr().err


def test_pairs_are_not_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"prompt": "?", "chosen": "a", "rejected": "b", "label": 0}
    assert not has_marks(write(tmp_path / "p.jsonl", pair))
    assert len(read_marks([write(tmp_path / "m.jsonl", GOOD, pair)])) == 1
    assert "m.jsonl:2: it is a pair of answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({**GOOD, "label": "yes"}, "its label is neither true nor false"),
        ({"prompt": "", "completion": "No.", "label": True}, "nothing is asked in it"),
        ({"prompt": "Yes?", "completion": " ", "label": True}, "it ends without an answer"),
        ("text", "its label is neither true nor false"),
        ({"messages": [], "label": False}, "it has no turns"),
    ],
)
def test_other_records_are_reported_and_skipped(
    record: object, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(read_marks([write(tmp_path / "marks.jsonl", BAD, record)])) == 1
    message = capsys.readouterr().err
    assert "marks.jsonl:2: " in message
    assert problem in message
