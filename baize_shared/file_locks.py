"""Advisory locks on open files and folders, which end with the process, however that ends."""

from __future__ import annotations

import fcntl


def try_lock(descriptor: int) -> bool:
    """Lock what ``descriptor`` has open; False if another process has locked it.

    A file system without locks refuses nobody.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
