"""Seeds in a Hugging Face dataset: on the Hub, in a folder, or in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_train.errors import TrainError
from baize_train.selfchat.seed_files import read_column


def is_dataset(name: str) -> bool:
    """Whether ``name`` is a dataset of the Hub (``hf:``), a folder, or a Parquet file."""
    return name.startswith(HUB_PREFIX) or name.endswith(".parquet") or Path(name).is_dir()


def read_dataset_seeds(name: str, column: str | None = None) -> Iterator[str]:
    """The seeds in the split ``train`` of a dataset: ``hf:owner/name[@revision]``, a folder or a
    .parquet file.

    Raises:
        TrainError: there is no such dataset or column.
    """
    # Imported here: it takes a second, and is in the extra [train].
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    options: dict[str, Any] = {"split": "train", "streaming": True}
    path = name
    if name.startswith(HUB_PREFIX):
        repository = parse_name(name)
        path, options["revision"] = repository.repo, repository.revision
    elif name.endswith(".parquet"):
        path, options["data_files"] = "parquet", name
    try:
        rows = datasets.load_dataset(path, **options)
        yield from read_column(rows, column, name)
    except (OSError, ValueError, HfHubHTTPError) as error:
        # The first line of the Hub's errors says what is wrong; the rest is advice for its API.
        reason, _, _ = str(error).partition("\n")
        raise TrainError(f"{name}: {reason or type(error).__name__}") from error
