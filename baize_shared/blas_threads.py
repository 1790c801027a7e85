"""One BLAS thread while a thread pool of our own, or llama.cpp's, keeps the cores busy.

The BLAS that numpy ships starts a thread for every core. After each call these threads spin for a
while, and so take time from the pool beside them. Whoever runs numpy beside a pool does it inside
``single_threaded_blas``.

threadpoolctl changes OpenBLAS, MKL, BLIS and FlexiBLAS. It does not know Apple's Accelerate, which
numpy uses on macOS: there nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit every loaded BLAS to one thread; the previous limits are back afterwards.

    The limit holds for the whole process, PyTorch's MKL included, so it must not surround training.
    Threads of a pool need ``limit_blas_in_this_thread`` besides. May be nested, but two threads
    must not be inside it at once: the second to leave would restore the limit of the first.
    """
    with _loaded_libraries().limit(limits=1, user_api="blas"):
        yield


def limit_blas_in_this_thread() -> None:
    """Limit BLAS to one thread for the calling thread of a pool, until that thread ends.

    An OpenBLAS or BLIS built on OpenMP keeps a limit per thread, and a new thread begins without
    one. Called inside ``single_threaded_blas``, which restores what other builds share.
    """
    _loaded_libraries().limit(limits=1, user_api="blas")


def _loaded_libraries() -> ThreadpoolController:
    """The libraries to limit. Only those already loaded are seen, so numpy's comes first."""
    # Imported here so that importing this module costs the chat client nothing.
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
