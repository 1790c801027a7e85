"""Pickles of the original Baize collector, read without running anything in them."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from baize_train.errors import TrainError

_SIMPLE = (str, int, float, bool, bytes, type(None))
"""Types whose hash takes no longer than reading them did."""


def _check_keys(keys: Iterable[Any]) -> None:
    """Raises ``pickle.UnpicklingError`` for a key that is not simple."""
    for key in keys:
        if not isinstance(key, _SIMPLE):
            raise pickle.UnpicklingError(f"a {type(key).__name__} is a key in it")


def _checking(opcode: bytes, keys: slice) -> Callable[[Any], None]:
    """What reads ``opcode``, after a look at those items of the stack that become keys."""
    load = pickle._Unpickler.dispatch[opcode[0]]

    def check_and_load(unpickler: Any) -> None:
        _check_keys(unpickler.stack[keys])
        load(unpickler)

    return check_and_load


def _refuse_array(unpickler: Any) -> None:
    # It would take as much memory as the file says, before a byte of it is read.
    raise pickle.UnpicklingError("it has an array of bytes")


class _DataOnlyUnpickler(pickle._Unpickler):
    """Reads texts, numbers, lists and dictionaries; refuses every name that it would import.

    It is made from Python's own unpickler in Python, because the fast one hashes keys before anyone
    can look at them. The hash of a tuple that contains another one twice, and so on sixty times,
    would take years; such a file has 300 bytes.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: _checking(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _checking(pickle.SETITEMS, slice(0, None, 2)),
        pickle.DICT[0]: _checking(pickle.DICT, slice(0, None, 2)),
        pickle.ADDITEMS[0]: _checking(pickle.ADDITEMS, slice(None)),
        pickle.FROZENSET[0]: _checking(pickle.FROZENSET, slice(None)),
        pickle.BYTEARRAY8[0]: _refuse_array,
    }


def read_pickle(raw: bytes, name: str) -> Any:
    """The data in a pickle; ``name`` is the file's name in messages.

    Raises:
        TrainError: it is damaged, or contains more than plain data.
    """
    try:
        return _DataOnlyUnpickler(io.BytesIO(raw)).load()
    except pickle.UnpicklingError as error:
        raise TrainError(f"{name}: not plain data, or damaged: {error}") from error
    except (
        *(EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError),
        *(AssertionError, struct.error),
    ) as error:
        raise TrainError(f"{name}: a damaged pickle: {type(error).__name__} {error}") from error
    except (MemoryError, RecursionError, OverflowError) as error:
        raise TrainError(
            f"{name}: a pickle that does not fit in memory: {type(error).__name__}"
        ) from error
