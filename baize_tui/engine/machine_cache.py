"""What was found out about this machine, remembered in files.

A finding is valid until the llama.cpp library, the processor or the backend changes. A lost or
damaged file only means that it is found out again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_tui.engine.profiles import HIDDEN_GPUS

_BACKEND = re.compile(r"(?:lib)?ggml-([a-z]+)")


class MachineKey(Struct, frozen=True):
    """What a finding depends on; each field is a digest."""

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


class Finding(Protocol):
    """A struct that is kept in a file, with the machine that it is about."""

    @property
    def key(self) -> MachineKey: ...


FindingT = TypeVar("FindingT", bound=Finding)


class MachineCache(Generic[FindingT]):
    """The file with one kind of finding."""

    def __init__(self, file: Path, kind: type[FindingT], key: MachineKey | None = None) -> None:
        """``key`` None takes the key of this machine."""
        self._file = file
        self._kind = kind
        self._key = key

    @property
    def machine(self) -> MachineKey:
        """The key of new findings."""
        if self._key is None:
            self._key = this_machine_key()
        return self._key

    def read(self) -> FindingT | None:
        """The finding about this machine; None if there is none. One about another is removed."""
        try:
            known = msgspec.json.decode(self._file.read_bytes(), type=self._kind)
        except (OSError, *JSON_ERRORS):
            return None
        if known.key != self.machine:
            self.remove()
            return None
        return known

    def write(self, finding: FindingT) -> None:
        """Keep ``finding``; without the file, it is found out again."""
        with contextlib.suppress(OSError):
            private_folder(self._file.parent)
            write_atomically(self._file, msgspec.json.encode(finding))

    def remove(self) -> None:
        """Forget the finding."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
