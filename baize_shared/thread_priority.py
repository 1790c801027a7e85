"""Threads whose work can wait."""

from __future__ import annotations

import contextlib
import os
import platform
import threading

_LOWEST = 19


def yield_to_others() -> None:
    """Have this thread compute only while nobody else needs the core; on Linux alone.

    Elsewhere a priority is that of a whole process.
    """
    if platform.system() == "Linux":
        with contextlib.suppress(OSError):  # a container that forbids it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
