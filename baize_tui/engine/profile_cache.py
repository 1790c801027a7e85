"""The machine profile that works on this machine, remembered in a file."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from baize_tui.engine.machine_cache import MachineCache, MachineKey
from baize_tui.engine.profiles import MachineProfile, ProfileName

_TEMPORARY_S = 24 * 3600
"""How long a profile is kept if the out-of-memory killer or a person ended the faster one."""


class WorkingProfile(Struct, frozen=True):
    """A profile that answered where a faster one crashed."""

    key: MachineKey
    profile: ProfileName
    why: str
    """What happened to the faster one, in words for a person."""
    expires: float | None = None
    """Seconds since the epoch."""


class ProfileCache:
    """The file with the working profile."""

    def __init__(self, file: Path, key: MachineKey | None = None) -> None:
        """``key`` None takes the key of this machine."""
        self._cache = MachineCache(file, WorkingProfile, key)

    def read(self) -> WorkingProfile | None:
        """The profile for this machine; None as long as the fastest one has not failed."""
        known = self._cache.read()
        if known is not None and known.expires is not None:
            left = known.expires - time.time()
            # More than it had at first is left if the clock was ahead when it was written.
            if not 0 <= left <= _TEMPORARY_S:
                self._cache.remove()
                return None
        return known

    def write(self, profile: MachineProfile, why: str, *, temporary: bool = False) -> None:
        """Remember that ``profile`` worked after ``why`` happened under a faster one."""
        expires = time.time() + _TEMPORARY_S if temporary else None
        self._cache.write(WorkingProfile(self._cache.machine, profile.name, why, expires))
