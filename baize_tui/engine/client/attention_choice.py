"""Whether flash attention pays on this machine's processor: measured once, then remembered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.attention import TrialResult
from baize_tui.engine.client.failures import EngineFailure
from baize_tui.engine.client.worker_process import open_log
from baize_tui.engine.machine_cache import MachineCache, MachineKey
from baize_tui.engine.profiles import HIDDEN_GPUS
from baize_tui.translation import tr

VARIABLE = "BAIZE_FLASH_ATTENTION"
"""Environment variable that decides instead of the trial: ``on`` or ``off``."""
_TRIAL_S = 30.0
"""The trial takes about a second; one that hangs is given up."""


class MeasuredAttention(Struct, frozen=True):
    """The result of the trial on a machine; None if it crashed, so that it is not tried again."""

    key: MachineKey
    result: TrialResult | None


class AttentionChoice:
    """The file with the result of the trial, and the trial itself."""

    def __init__(self, file: Path, log_file: Path) -> None:
        """What llama.cpp prints during the trial goes to ``log_file``."""
        self._cache = MachineCache(file, MeasuredAttention)
        self._log_file = log_file
        self._measured: MeasuredAttention | None = None

    @property
    def _known(self) -> MeasuredAttention | None:
        return self._measured or self._cache.read()

    @property
    def known_result(self) -> TrialResult | None:
        """What a trial on this machine has shown; None without one."""
        known = self._known
        return None if known is None else known.result

    def flash_pays_so_far(self) -> bool:
        """The choice as far as it is known; nothing is measured.

        Raises:
            EngineFailure: the environment variable has another value.
        """
        if (wanted := _wanted()) is not None:
            return wanted
        result = self.known_result
        return result is None or result.flash_pays

    async def flash_pays(self) -> bool:
        """The choice, after a trial if there was none on this machine.

        A result, and a crash, are remembered for good; a trial that took too long or could not be
        started is tried again by the next client.

        Raises:
            EngineFailure: the environment variable has another value.
        """
        if _wanted() is None and self._known is None:
            result, for_good = await self._measure()
            self._measured = MeasuredAttention(self._cache.machine, result)
            if for_good:
                self._cache.write(self._measured)
        return self.flash_pays_so_far()

    async def _measure(self) -> tuple[TrialResult | None, bool]:
        """Run the trial in a process of its own: its result, None if it failed, and whether the
        next trial would end in the same way."""
        try:
            process = await self._start_trial()
        except OSError:  # too many processes, or too little memory
            return None, False
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Not communicate(), which closes stdin.
            output = await asyncio.wait_for(process.stdout.read(), _TRIAL_S)
            code = await process.wait()
            if code != 0:
                return None, code < 0  # a signal: llama.cpp crashed
            return msgspec.json.decode(output, type=TrialResult), True
        except (TimeoutError, *JSON_ERRORS):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return None, False
        finally:
            process.stdin.close()  # ends it if it still runs, and it removes its model

    async def _start_trial(self) -> asyncio.subprocess.Process:
        log = open_log(self._log_file)
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "baize_tui.engine.attention_trial",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONUTF8": "1", **HIDDEN_GPUS},
            )
        finally:
            os.close(log)


def _wanted() -> bool | None:
    """What the environment variable decides; None if it is not set.

    Raises:
        EngineFailure: it is neither ``on`` nor ``off``.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "on", "off"):
        raise EngineFailure(
            tr("{variable} is {value}, but may be on or off", variable=VARIABLE, value=repr(value))
        )
    return None if not value else value == "on"
