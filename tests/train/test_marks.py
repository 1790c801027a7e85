"""Answers marked as good or bad, from a file to what KTO learns from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baize_train.corpus.dialogues import Turn
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


def test_pairs_are_not_marks(tmp_path: Path) -> None:
    assert not has_marks(
        write(tmp_path / "p.jsonl", {"prompt": "?", "chosen": "a", "rejected": "b"})
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({**GOOD, "label": "yes"}, "its label is neither true nor false"),
        ({"prompt": "", "completion": "No.", "label": True}, "nothing is asked in it"),
        ({"prompt": "Yes?", "completion": " ", "label": True}, "it ends without an answer"),
        ("text", "its label is neither true nor false"),
    ],
)
def test_other_records_are_reported_and_skipped(
    record: object, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(read_marks([write(tmp_path / "marks.jsonl", BAD, record)])) == 1
    message = capsys.readouterr().err
    assert "marks.jsonl:2: " in message
    assert problem in message
