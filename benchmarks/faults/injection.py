"""Makes the disk of a process and of its children fail, and moves their clock.

``preload.c`` says what counts as an operation of the disk. It is compiled when a scenario starts.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("preload.c")
_FIELDS = ("operations", "first", "last", "error", "short_write", "failed", "clock_ns")
_LONG = struct.Struct("l")
_EVER = (1 << 62) - 1


class NoCompiler(Exception):
    """Faults cannot be injected on this machine; the message says why."""


@dataclass(frozen=True)
class Fault:
    """Which operations of the disk fail, in the order of all processes."""

    first: int
    """The number of the first one, from 1 on."""
    error: int
    """The ``errno`` that a program sees."""
    last: int = _EVER
    short_write: bool = False
    """Whether the first one, if it is a write, still writes half of its bytes."""


class Injection:
    """Faults below ``folder``, for the processes that are started with ``environment``."""

    def __init__(self, library: Path, control: Path, folder: Path) -> None:
        control.write_bytes(bytes(_LONG.size * len(_FIELDS)))
        self._file = control.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), 0)
        preloaded = os.environ.get("LD_PRELOAD", "")
        self.environment = {
            "LD_PRELOAD": f"{library}:{preloaded}" if preloaded else str(library),
            "FAULTS_CONTROL": str(control),
            "FAULTS_FOLDER": str(folder),
        }

    @property
    def operations(self) -> int:
        """How many operations of the disk there were since the last change."""
        return self._get("operations")

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return self._get("failed")

    def fail(self, fault: Fault) -> None:
        """Count anew from now on, and let operations fail."""
        self.stop()
        self._set("error", fault.error)
        self._set("short_write", int(fault.short_write))
        self._set("last", fault.last)
        self._set("first", fault.first)

    def stop(self) -> None:
        """Nothing fails any more."""
        for name in ("first", "operations", "failed"):
            self._set(name, 0)

    def move_clock(self, seconds: float) -> None:
        """Move the time of day ``seconds`` away from that of the machine."""
        self._set("clock_ns", round(seconds * 1e9))

    def close(self) -> None:
        self._memory.close()
        self._file.close()

    def _get(self, name: str) -> int:
        value: int = _LONG.unpack_from(self._memory, _FIELDS.index(name) * _LONG.size)[0]
        return value

    def _set(self, name: str, value: int) -> None:
        _LONG.pack_into(self._memory, _FIELDS.index(name) * _LONG.size, value)


def compile_library(folder: Path) -> Path:
    """The shared object of ``preload.c``, in ``folder``.

    Raises:
        NoCompiler: there is no C compiler, or the machine has no such shared objects.
    """
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NoCompiler("there is no C compiler")
    library = folder / "faults.so"
    done = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NoCompiler(f"{_SOURCE.name} cannot be compiled: {done.stderr.partition(chr(10))[0]}")
    return library
