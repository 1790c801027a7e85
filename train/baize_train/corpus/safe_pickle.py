"""Pickles of the original Baize collector, read without running anything in them."""

from __future__ import annotations

import io
import pickle
from typing import Any

from baize_train.errors import TrainError


class _DataOnlyUnpickler(pickle.Unpickler):
    """Reads texts, numbers, lists and dictionaries; refuses every name that it would import."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file")


def read_pickle(raw: bytes, name: str) -> Any:
    """The data in a pickle; ``name`` is the file's name in messages.

    Raises:
        TrainError: it is damaged, or contains more than plain data.
    """
    try:
        return _DataOnlyUnpickler(io.BytesIO(raw)).load()
    except pickle.UnpicklingError as error:
        raise TrainError(f"{name}: not plain data, or damaged: {error}") from error
    except (EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(f"{name}: a damaged pickle: {type(error).__name__} {error}") from error
    except (MemoryError, RecursionError, OverflowError) as error:
        raise TrainError(
            f"{name}: a pickle that does not fit in memory: {type(error).__name__}"
        ) from error
