"""Files that grow by one record at a time, on a disk that gets full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from baize_train.corpus.append_only_file import AppendOnlyFile
from baize_train.errors import TrainError


class Line(msgspec.Struct):
    text: str


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writes beyond ``size`` bytes of a file write what fits, and then fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with AppendOnlyFile(path, Line) as file:
        file.add(Line("first"))
        complete = path.read_bytes()
        with files_of_at_most(len(complete) + 10), pytest.raises(TrainError, match="too large"):
            file.add(Line("second " * 10_000))
        assert path.read_bytes() == complete
        file.add(Line("third"))
    assert [msgspec.json.decode(line)["text"] for line in path.read_bytes().splitlines()] == [
        "first",
        "third",
    ]


def test_closing_does_not_fail_after_a_write_that_did(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with (
        pytest.raises(TrainError, match=r"out\.jsonl: .*; run the same command"),
        files_of_at_most(10),
        AppendOnlyFile(path, Line) as file,
    ):
        file.add(Line("a record that does not fit"))
    assert path.read_bytes() == b""
