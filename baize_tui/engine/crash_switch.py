"""A switch for tests: the worker kills itself with a signal, in one phase, under chosen profiles.

``BAIZE_TEST_CRASH="SIGSEGV warming-up full,no-extra-buffers"``: signal, phase and the names of
profiles, separated by spaces. Nothing else can show what the client does when llama.cpp crashes on
a machine that the tests do not run on.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

from msgspec import Struct

VARIABLE = "BAIZE_TEST_CRASH"

Phase = Literal[
    "starting", "loading", "warming-up", "prefilling", "decoding", "measuring", "reading"
]
PHASES: tuple[Phase, ...] = get_args(Phase)


class CrashSwitch(Struct, frozen=True):
    """When to crash, and how."""

    signal: signal.Signals
    phase: str
    profiles: tuple[str, ...]

    def reached(self, phase: Phase, profile: str) -> None:
        """End this process if ``phase`` under ``profile`` is where it is to crash."""
        if phase == self.phase and profile in self.profiles:
            os.kill(os.getpid(), self.signal)


def crash_switch() -> CrashSwitch | None:
    """What the environment asks for; None is the normal case.

    Raises:
        ValueError: the variable is set to something else than signal, phase and profiles.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    name, phase, profiles = text.split()
    if phase not in PHASES:
        raise ValueError(f"{VARIABLE}: no phase {phase!r}; there are {', '.join(PHASES)}")
    return CrashSwitch(signal.Signals[name], phase, tuple(profiles.split(",")))
