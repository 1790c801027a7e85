"""Hugging Face datasets: on the Hub, in a folder, or in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_shared.regular_files import open_regular
from baize_train.errors import TrainError

_ROWS_AT_ONCE = 1000


def is_dataset(name: str) -> bool:
    """Whether ``name`` is a dataset of the Hub (``hf:``), a folder, or a Parquet file."""
    return name.startswith(HUB_PREFIX) or name.endswith(".parquet") or Path(name).is_dir()


def open_dataset(name: str) -> Iterator[Any]:
    """The rows of the split ``train`` of ``hf:owner/name[@revision]``, a folder or a .parquet file.

    Raises:
        TrainError: there is no such dataset, or it cannot be read.
    """
    if name.endswith(".parquet"):
        yield from _parquet_rows(Path(name))
        return
    # Imported here: it takes a second, and is in the extra [train].
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    options: dict[str, Any] = {"split": "train", "streaming": True}
    path = name
    if name.startswith(HUB_PREFIX):
        repository = parse_name(name)
        path, options["revision"] = repository.repo, repository.revision
    try:
        rows: Iterable[Any] = datasets.load_dataset(path, **options)
        yield from rows
    except (OSError, ValueError, HfHubHTTPError) as error:
        # The first line of the Hub's errors says what is wrong; the rest is advice for its API.
        reason, _, _ = str(error).partition("\n")
        raise TrainError(f"{name}: {reason or type(error).__name__}") from error


def _parquet_rows(file: Path) -> Iterator[Any]:
    from pyarrow import lib, parquet

    try:
        with open_regular(file) as stream, parquet.ParquetFile(stream) as table:
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror or error}") from error
    except lib.ArrowException as error:
        raise TrainError(f"{file}: not a Parquet file: {error}") from error
