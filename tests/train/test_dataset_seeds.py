"""Seeds out of a Hugging Face dataset, as the library ``datasets`` writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_train.errors import TrainError
from baize_train.selfchat.seeds import read_seeds

datasets = pytest.importorskip("datasets")

pytestmark = pytest.mark.training
QUESTIONS = ["What is a fox?", "Who wrote Hamlet?"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    created = tmp_path / "questions"
    created.mkdir()
    rows = datasets.Dataset.from_dict({"id": [1, 2], "question": QUESTIONS})
    rows.to_parquet(created / "train.parquet")
    return created


def test_a_folder_and_a_parquet_file(folder: Path) -> None:
    assert list(read_seeds(str(folder))) == QUESTIONS
    assert list(read_seeds(str(folder / "train.parquet"), "question")) == QUESTIONS


def test_a_missing_column_lists_the_existing_ones(folder: Path) -> None:
    with pytest.raises(TrainError, match=r"no column answer; the columns are id, question"):
        list(read_seeds(str(folder), "answer"))


def test_a_folder_without_a_dataset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainError) as raised:
        list(read_seeds(str(tmp_path)))
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)
