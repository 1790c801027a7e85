"""What dialogues are begun with: lines of text, a column of a table, templates of a domain."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baize_convert.hub_names import PREFIX, parse_name
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.duplicates import Seen
from baize_train.corpus.reading import read_corpus
from baize_train.errors import TrainError

_COLUMNS = ("seed", "question", "topic", "prompt", "instruction", "title", "text")


def read_seeds(file: Path, column: str | None = None) -> Iterator[str]:
    """The seeds in ``file``: lines of a .txt, a column of a .csv, a key of a .jsonl.

    Raises:
        TrainError: it cannot be read, is empty or not UTF-8, or has no such column.
    """
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainError(
            f"{file}: not UTF-8 (byte 0x{error.object[error.start]:02x} at {error.start})"
        ) from error
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    if file.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
    elif file.suffix in (".jsonl", ".json"):
        rows = list(_objects(text, file))
    else:
        yield from filter(None, map(str.strip, text.splitlines()))
        return
    if not rows:
        return
    yield from _column_of(rows, column, str(file))


def _column_of(rows: Iterable[Any], column: str | None, where: str) -> Iterator[str]:
    """The texts of the named column, or of one that is called as seeds are.

    Raises:
        TrainError: there is none.
    """
    name = None
    for row in rows:
        if name is None:
            name = column or next((one for one in _COLUMNS if one in row), None)
            if name is None or name not in row:
                raise TrainError(
                    f"{where}: no column {column or ' or '.join(_COLUMNS)}; there are "
                    f"{', '.join(map(str, row))}: choose one with --column"
                )
        value = str(row.get(name) or "").strip()
        if value:
            yield value


def dataset_seeds(name: str, column: str | None = None) -> Iterator[str]:
    """The seeds in the split ``train`` of a Hugging Face dataset: ``hf:owner/name`` with an
    ``@revision`` if need be, or a folder or .parquet on this machine.

    Raises:
        TrainError: it is not there, or has no such column; or ``datasets`` is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise TrainError(f"{name}: a dataset needs pip install 'baize-tui[train]'") from error
    from huggingface_hub.errors import HfHubHTTPError

    options: dict[str, Any] = {"split": "train", "streaming": True}
    place = name
    if name.startswith(PREFIX):
        wanted = parse_name(name)
        place, options["revision"] = wanted.repo, wanted.revision
    elif name.endswith(".parquet"):
        place, options["data_files"] = "parquet", name
    try:
        rows = datasets.load_dataset(place, **options)
        yield from _column_of(rows, column, name)
    except (OSError, ValueError, HfHubHTTPError) as error:
        # Of the hub's errors the first line says it.
        raise TrainError(f"{name}: {str(error).splitlines()[0]}") from error


def is_dataset(name: str) -> bool:
    """Whether ``name`` is one of the hub, a folder, or a Parquet file."""
    return name.startswith(PREFIX) or name.endswith(".parquet") or Path(name).is_dir()


def _objects(text: str, file: Path) -> Iterator[dict[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                raise TrainError(f"{file}:{number}: not JSON: {error}") from error
            if not isinstance(found, dict):
                raise TrainError(f"{file}:{number}: not an object")
            yield found


def dialogues_to_rewrite(file: Path) -> list[Dialogue]:
    """The dialogues of a corpus whose answers are written anew.

    Raises:
        TrainError: it is none, or holds none.
    """
    found = [one for one in read_corpus(file) if isinstance(one, Dialogue) and one.messages]
    if not found:
        raise TrainError(f"{file} holds no dialogue")
    return found


def distinct(seeds: Iterable[str], threshold: float = 0.8) -> tuple[list[str], int]:
    """Seeds that say something of their own, and how many were left out.

    Raises:
        TrainError: there are none.
    """
    seen, kept, count = Seen(threshold), [], 0
    for seed in seeds:
        count += 1
        if seen.add(seed):
            kept.append(seed)
    if not kept:
        raise TrainError("there are no seeds: give a file with a line for each")
    return kept, count - len(kept)
