"""Whether flash attention pays on this machine's processor: measured once, then remembered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_tui.engine.attention import TrialResult
from baize_tui.engine.client.worker_process import open_log
from baize_tui.engine.machine_cache import MachineCache, MachineKey
from baize_tui.engine.profiles import HIDDEN_GPUS

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
        """The choice as far as it is known; nothing is measured."""
        if (wanted := os.environ.get(VARIABLE)) in ("on", "off"):
            return wanted == "on"
        result = self.known_result
        return result is None or result.flash_pays

    async def flash_pays(self) -> bool:
        """The choice, after a trial if there was none on this machine."""
        if os.environ.get(VARIABLE) not in ("on", "off") and self._known is None:
            self._measured = MeasuredAttention(self._cache.machine, await self._measure())
            self._cache.write(self._measured)
        return self.flash_pays_so_far()

    async def _measure(self) -> TrialResult | None:
        """Run the trial in a process of its own; None if it failed."""
        log = open_log(self._log_file)
        try:
            process = await asyncio.create_subprocess_exec(
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
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Not communicate(), which closes stdin.
            output = await asyncio.wait_for(process.stdout.read(), _TRIAL_S)
            return msgspec.json.decode(output, type=TrialResult)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return None
        except msgspec.DecodeError:
            return None
        finally:
            process.stdin.close()  # ends it if it still runs, and it removes its model
