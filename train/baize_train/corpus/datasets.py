"""Hugging Face datasets: on the Hub, in a folder, or in a Parquet file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_shared.regular_files import open_regular
from baize_shared.sanitizer import clean_line
from baize_train.corpus.text_tables import check_kind
from baize_train.errors import TrainError, warn

_ROWS_AT_ONCE = 1000
_MAGIC_BYTES = 64
_DATA_FILES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_LIBRARY_FILES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_SHOWN = 5
"""Files that are named in a warning."""


def is_dataset(name: str) -> bool:
    """Whether ``name`` is a dataset of the Hub (``hf:``), a folder, or a Parquet file."""
    return name.startswith(HUB_PREFIX) or _is_parquet(name) or Path(name).is_dir()


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(".parquet")


def open_dataset(name: str) -> Iterator[Any]:
    """The rows of ``hf:owner/name[/config][@revision][#split]``, a folder or a .parquet file.

    The split is ``train`` unless another one is named.

    Raises:
        TrainError: there is no such dataset, or it cannot be read.
    """
    if _is_parquet(name) and not Path(name).is_dir():
        yield from _parquet_rows(Path(name))
        return
    # Imported here: it takes a second, and is in the extra [train].
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    options: dict[str, Any] = {"split": "train", "streaming": True}
    path = name
    if name.startswith(HUB_PREFIX):
        repository_name, _, split = name.partition("#")
        try:
            repository = parse_name(repository_name)
        except ConvertError as error:
            raise TrainError(str(error)) from error
        path, options["revision"] = repository.repo, repository.revision
        options["name"], options["split"] = repository.subfolder or None, split or "train"
    try:
        rows: Iterable[Any] = datasets.load_dataset(path, **options)
        if Path(path).is_dir():
            _report_other_files(Path(path))
        yield from rows
    # The library has no error of its own: a script is a RuntimeError, a type a TypeError.
    except (OSError, ValueError, TypeError, RuntimeError, HfHubHTTPError) as error:
        raise TrainError(f"{name}: {_reason(name, error)}") from error


def _report_other_files(folder: Path) -> None:
    """The library reads the files of one format, and of one split; the others are named."""
    import datasets

    files = datasets.load_dataset_builder(str(folder)).config.data_files or {}
    read = {Path(file).resolve() for file in files.get("train", ())}
    others = sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.suffix.lower() in _DATA_FILES
        and file.name not in _LIBRARY_FILES
        and file.resolve() not in read
    )
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        shown = clean_line(", ".join(others[:_SHOWN]), 400)
        warn(f"{folder}: not read: {shown}{more}; give each by its own name")


def _reason(name: str, error: Exception) -> str:
    """What is wrong with the dataset ``name``, without the advice for the API that follows."""
    reason, _, more = str(error).partition("\n")
    listed = more.partition("\n")[0]
    if "available" in listed:  # which configurations there are
        reason = f"{reason} {listed}"
    if re.match(r"couldn't cast", reason, re.IGNORECASE):
        return "its files have different columns or types: give each by its own name"
    if name.startswith(HUB_PREFIX) and re.search(r"\b(config|split)", reason, re.I):
        reason += f": write {HUB_PREFIX}owner/name/CONFIG#SPLIT"
    return clean_line(reason, 400) or type(error).__name__


def _parquet_rows(file: Path) -> Iterator[Any]:
    from pyarrow import lib, parquet

    try:
        with open_regular(file) as stream:
            if not (start := stream.read(_MAGIC_BYTES)).startswith(b"PAR1"):
                check_kind(start, file)
            stream.seek(0)
            table = parquet.ParquetFile(stream)
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror or error}") from error
    except lib.ArrowException as error:
        raise TrainError(f"{file}: not a Parquet file: {error}") from error
