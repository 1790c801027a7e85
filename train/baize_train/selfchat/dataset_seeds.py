"""Seeds in a Hugging Face dataset: on the Hub, in a folder, or in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator

from baize_train.corpus.datasets import open_dataset
from baize_train.selfchat.seed_files import read_column


def read_dataset_seeds(name: str, column: str | None = None) -> Iterator[str]:
    """The seeds in the split ``train`` of a dataset: ``hf:owner/name[@revision]``, a folder or a
    .parquet file.

    Raises:
        TrainError: there is no such dataset or column.
    """
    yield from read_column(open_dataset(name), column, name)
