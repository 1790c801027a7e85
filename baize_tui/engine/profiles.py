"""Machine profiles: how cautiously llama.cpp is used, and which of them works on this machine.

llama.cpp picks kernels for the processor it finds. Some crash on some machines (its AMX kernels,
llama.cpp #20824, or a GPU driver), and a crash ends the worker process. The client then starts the
next safer profile and remembers the one that worked, until the library, the processor or the
backend changes.
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
from baize_tui.paths import private_folder


class MachineProfile(Struct, frozen=True):
    """What llama.cpp may use; each profile on the ladder allows one thing less."""

    name: str
    extra_buffers: bool = True
    """Buffer types beside the default, such as repacked weights and AMX
    (``llama_model_params.use_extra_bufts``)."""
    flash_attention: bool = True
    gpu: bool = True
    all_threads: bool = True

    @property
    def switched_off(self) -> list[str]:
        """What this profile does without, in words."""
        words = {
            "extra buffer types": self.extra_buffers,
            "flash attention": self.flash_attention,
            "the GPU": self.gpu,
            "all threads but one": self.all_threads,
        }
        return [what for what, allowed in words.items() if not allowed]


FULL = MachineProfile("full")
LADDER = (
    FULL,
    MachineProfile("no-extra-buffers", extra_buffers=False),
    MachineProfile("no-flash-attention", extra_buffers=False, flash_attention=False),
    MachineProfile("no-gpu", extra_buffers=False, flash_attention=False, gpu=False),
    MachineProfile(
        "one-thread", extra_buffers=False, flash_attention=False, gpu=False, all_threads=False
    ),
)
"""From the fastest profile to the safest."""

_BACKEND = re.compile(r"(?:lib)?ggml-([a-z]+)")
_HIDDEN_GPUS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "",
}
"""The environment in which a GPU's driver is not even asked: asking can be what crashes."""


def profile_named(name: str) -> MachineProfile:
    """The profile called ``name``; the fastest where there is none."""
    return next((profile for profile in LADDER if profile.name == name), FULL)


def next_safer(profile: MachineProfile, *, gpu_backend: bool) -> MachineProfile | None:
    """The profile after ``profile`` on the ladder; None after the last.

    Without a GPU backend there is nothing to gain from the profile that only turns the GPU off.
    """
    for safer in LADDER[LADDER.index(profile) + 1 :]:
        if gpu_backend or safer.gpu or not safer.all_threads:
            return safer
    return None


def environment_for(profile: MachineProfile) -> dict[str, str]:
    """Variables that a worker process under ``profile`` needs."""
    return {} if profile.gpu else _HIDDEN_GPUS


# --- which machine this is -----------------------------------------------------------------------


class MachineKey(Struct, frozen=True):
    """What a working profile depends on; each is a digest or a short text."""

    library: str
    processor: str
    backend: str


def has_gpu_backend() -> bool:
    """Whether llama.cpp was built for more than the processor."""
    names = {match[1] for file in _library_files() if (match := _BACKEND.match(file.name))}
    return bool(names - {"base", "cpu", "blas"})


def this_machine_key() -> MachineKey:
    """The key of this machine and its llama.cpp; no library is loaded to find it."""
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
    """Model and features of the processor, as the system names them."""
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
        found = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return found.stdout.strip()


def _backend(files: list[str]) -> str:
    """The backends that llama.cpp was built with, the GPU driver, and which GPUs it may see."""
    parts = [name for name in files if "ggml" in name]
    for driver in ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version"):
        try:
            parts.append(Path(driver).read_text("utf-8", "replace"))
        except OSError:
            continue
    parts += [f"{name}={os.environ.get(name)}" for name in _HIDDEN_GPUS]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


# --- the profile that worked ---------------------------------------------------------------------

_TEMPORARY_S = 24 * 3600
"""How long a profile is kept that was chosen because of the out-of-memory killer or a person."""


class WorkingProfile(Struct, frozen=True):
    """A profile that answered where a faster one crashed."""

    key: MachineKey
    profile: str
    why: str
    """What happened to the faster one, in words."""
    expires: float | None = None
    """Seconds since the epoch."""


class ProfileCache:
    """The working profile in a file; a lost or damaged file only means trying again."""

    def __init__(self, file: Path, key: MachineKey | None = None) -> None:
        """``key`` None is the key of this machine."""
        self._file = file
        self._key = key

    @property
    def _machine(self) -> MachineKey:
        if self._key is None:
            self._key = this_machine_key()
        return self._key

    def read(self) -> WorkingProfile | None:
        """What is remembered for this machine, None where the fastest profile has not failed."""
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
        """Remember that ``profile`` answered after what ``why`` says had happened."""
        expires = time.time() + _TEMPORARY_S if temporary else None
        known = WorkingProfile(self._machine, profile.name, why, expires)
        # Without the file, the next start tries the profiles again.
        with contextlib.suppress(OSError):
            private_folder(self._file.parent)
            write_atomically(self._file, msgspec.json.encode(known), private=True)
