"""A switch for tests: the worker kills itself with a signal, in one phase, under chosen profiles.

``BAIZE_TEST_CRASH="SIGSEGV warming-up full,no-extra-buffers"``: signal, phase and the names of
profiles, separated by spaces. ``draft`` as a fourth word crashes only with a draft model. Only this
shows what the client does when llama.cpp crashes on a machine that the tests do not run on.
"""

from __future__ import annotations

import os
import signal
from typing import Literal

import msgspec
from msgspec import Struct

VARIABLE = "BAIZE_TEST_CRASH"

Phase = Literal[
    "starting", "loading", "warming-up", "prefilling", "decoding", "measuring", "reading"
]


class CrashSwitch(Struct, frozen=True):
    """When to crash, and how."""

    signal: signal.Signals
    phase: Phase
    profiles: tuple[str, ...]
    only_with_draft: bool = False

    def reached(self, phase: Phase, profile: str, *, has_draft: bool) -> None:
        """Kill this process if it is to crash in ``phase`` under ``profile``."""
        if self.only_with_draft and not has_draft:
            return
        if phase == self.phase and profile in self.profiles:
            os.kill(os.getpid(), self.signal)


def crash_switch() -> CrashSwitch | None:
    """The switch that the environment sets; normally None.

    Raises:
        ValueError: the variable is not a signal, a phase and profiles.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    name, phase, profiles, *more = text.split()
    return CrashSwitch(
        signal.Signals[name],
        msgspec.convert(phase, Phase),
        tuple(profiles.split(",")),
        only_with_draft=more == ["draft"],
    )
