"""The ways to build llama-cpp-python, from the quickest to the one with the fewest settings."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

QUICK_SETTINGS = Path(__file__).resolve().parent / "quick.cmake"

_WITHOUT_AMX = "-U__AMX_INT8__"
_BUILD_VARIABLES = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS")
_BUILD_PREFIXES = ("CMAKE_", "SKBUILD_", "CUDA", "HIP", "ROCM", "MACOSX_")
_PARALLEL = "CMAKE_BUILD_PARALLEL_LEVEL"


@dataclass(frozen=True)
class Attempt:
    """One way to build; ``name`` is used in messages.

    ``cache_key`` names the folder of its wheels in pip's cache; None uses pip's cache as it is.
    """

    name: str
    environment: Mapping[str, str]
    cache_key: str | None

    def with_one_compiler(self) -> Attempt:
        """The same build with one compiler at a time, for when the memory ran out."""
        return Attempt(self.name, {**self.environment, _PARALLEL: "1"}, self.cache_key)


def build_attempts(environment: Mapping[str, str], compilers: int, processor: str) -> list[Attempt]:
    """The builds to try in this order: quick, plain without AMX, plain.

    Each keeps the user's own ``CMAKE_ARGS`` and compiler flags. ``compilers`` is the number of
    compilers to run at once, unless the user has set ``CMAKE_BUILD_PARALLEL_LEVEL``. ``processor``
    is part of the cache key: a build for one processor may crash on another.
    """
    plain = {_PARALLEL: str(compilers), **environment}
    # The preloaded file comes first, so that the options that the user sets by -D win.
    preload = shlex.quote(f"-C{QUICK_SETTINGS}")
    quick = plain | {"CMAKE_ARGS": f"{preload} {plain.get('CMAKE_ARGS', '')}".strip()}
    without_amx = plain | {
        name: f"{plain.get(name, '')} {_WITHOUT_AMX}".strip() for name in ("CFLAGS", "CXXFLAGS")
    }
    # The key depends on the content of the file, not on the folder of this checkout.
    key = _cache_key(environment, QUICK_SETTINGS.read_text(), processor)
    return [
        Attempt("the quick build", quick, key),
        Attempt("the plain build without AMX", without_amx, _cache_key(without_amx, "", processor)),
        Attempt("the plain build", plain, None),
    ]


def _cache_key(environment: Mapping[str, str], settings: str, processor: str) -> str:
    """The same name for equal builds. pip's own cache ignores all of these settings."""
    relevant = sorted(
        (name, value)
        for name, value in environment.items()
        if name != _PARALLEL and (name in _BUILD_VARIABLES or name.startswith(_BUILD_PREFIXES))
    )
    return hashlib.sha256(repr((relevant, settings, processor)).encode()).hexdigest()[:16]
