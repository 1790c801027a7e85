"""Seeds out of a Hugging Face dataset, as the library ``datasets`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


LINE = '{"question": "Why?", "answer": "So."}\n'


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.jsonl": LINE, "b.jsonl": '{"text": "x"}\n'}, "its files have different columns"),
        (
            {
                "a.jsonl": '{"question": "?", "meta": null}\n',
                "b.jsonl": '{"question": "?", "meta": {"n": "x"}}\n',
            },
            "its files have different columns or types",
        ),
        ({"{}.py": "x = 1\n"}, "Dataset scripts are no longer supported"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line(
    files: dict[str, str], problem: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name.format(tmp_path.name)).write_text(content)
    with pytest.raises(TrainError, match=problem):
        list(read_seeds(str(tmp_path), "question"))


def test_files_of_a_folder_that_are_not_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(LINE)
    (tmp_path / "train.csv").write_text("question,answer\nEh?,So.\n")
    assert list(read_seeds(str(tmp_path))) == ["Why?"]
    assert "not read: test.jsonl, train.csv; give each by its own name" in capsys.readouterr().err


CONFIGS = """---
configs:
- config_name: main
  data_files: main.jsonl
- config_name: hard
  data_files:
  - {split: test, path: hard.jsonl}
---
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub whose only dataset is ``owner/name``, with two configurations."""
    (tmp_path / "README.md").write_text(CONFIGS)
    for name in ("main", "hard"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"question": "{name}?"}}\n')
    load = datasets.load_dataset

    def load_dataset(path: str, revision: str, **options: Any) -> Any:
        assert (path, revision) == ("owner/name", "main")
        return load(str(tmp_path), **options)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


@pytest.mark.parametrize(
    ("name", "question"),
    [("hf:owner/name/main", "main?"), ("hf:owner/name/hard#test", "hard?")],
)
@pytest.mark.usefixtures("hub")
def test_a_configuration_and_a_split_are_chosen_by_name(name: str, question: str) -> None:
    assert list(read_seeds(name)) == [question]


@pytest.mark.parametrize(
    ("name", "choices"),
    [("hf:owner/name", "['main', 'hard']"), ("hf:owner/name/hard", "['test']")],
)
@pytest.mark.usefixtures("hub")
def test_a_dataset_with_a_choice_names_the_choices(name: str, choices: str) -> None:
    with pytest.raises(TrainError) as raised:
        list(read_seeds(name))
    message = str(raised.value)
    assert choices in message
    assert message.endswith("write hf:owner/name/CONFIG#SPLIT")
    assert "\n" not in message
