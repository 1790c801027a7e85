"""The machine profile that works on this machine, remembered in a file.

It is valid until the llama.cpp library, the processor or the backend changes. A lost or damaged
file only means that the profiles are tried again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.private_files import private_folder
from baize_tui.engine.profiles import HIDDEN_GPUS, MachineProfile, ProfileName

_BACKEND = re.compile(r"(?:lib)?ggml-([a-z]+)")
_TEMPORARY_S = 24 * 3600
"""How long a profile is kept if the out-of-memory killer or a person ended the faster one."""


class MachineKey(Struct, frozen=True):
    """What a working profile depends on; each field is a digest."""

    library: str
    processor: str
    backend: str


def has_gpu_backend() -> bool:
    """Whether llama.cpp was built with a GPU backend."""
    names = {match[1] for file in _library_files() if (match := _BACKEND.match(file.name))}
    return bool(names - {"base", "cpu", "blas"})


def this_machine_key() -> MachineKey:
    """The key of this machine and its llama.cpp; no library is loaded for it."""
    files = _library_files()
    library = hashlib.sha256()
    for file in files:
        status = file.stat()
        library.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    names = [file.name for file in files]
    return MachineKey(library.hexdigest()[:16], _processor(), _backend(names))


def _library_files() -> list[Path]:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    return sorted(file for file in folder.glob("*") if file.is_file()) if folder.is_dir() else []


def _processor() -> str:
    """Digest of the processor's model and features."""
    described = [platform.machine()]
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n", 1)[0]
    except OSError:
        described += [platform.processor(), _brand_on_macos()]
    else:
        stable = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")
        described += [line for line in first.splitlines() if line.startswith(stable)]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


def _brand_on_macos() -> str:
    try:
        result = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return result.stdout.strip()


def _backend(files: list[str]) -> str:
    """Digest of llama.cpp's backends, the GPU drivers, and the GPUs that it may use."""
    parts = [name for name in files if "ggml" in name]
    for driver in ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version"):
        try:
            parts.append(Path(driver).read_text("utf-8", "replace"))
        except OSError:
            continue
    parts += [f"{name}={os.environ.get(name)}" for name in HIDDEN_GPUS]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


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
        self._file = file
        self._key = key

    @property
    def _machine(self) -> MachineKey:
        if self._key is None:
            self._key = this_machine_key()
        return self._key

    def read(self) -> WorkingProfile | None:
        """The profile for this machine; None as long as the fastest one has not failed."""
        try:
            known = msgspec.json.decode(self._file.read_bytes(), type=WorkingProfile)
        except (OSError, msgspec.DecodeError):
            return None
        outdated = known.expires is not None and known.expires < time.time()
        if known.key != self._machine or outdated:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)
            return None
        return known

    def write(self, profile: MachineProfile, why: str, *, temporary: bool = False) -> None:
        """Remember that ``profile`` worked after ``why`` happened under a faster one."""
        expires = time.time() + _TEMPORARY_S if temporary else None
        known = WorkingProfile(self._machine, profile.name, why, expires)
        # Without the file, the next start tries the profiles again.
        with contextlib.suppress(OSError):
            private_folder(self._file.parent)
            write_atomically(self._file, msgspec.json.encode(known), private=True)
