"""After the death of a worker: which safer machine profile comes next, and what is remembered."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from baize_tui.engine.client.failures import NoProfileLeft, WorkerDied, death_text
from baize_tui.engine.client.worker_process import WorkerProcess
from baize_tui.engine.machine_cache import has_gpu_backend
from baize_tui.engine.profile_cache import ProfileCache, WorkingProfile
from baize_tui.engine.profiles import FULL, MachineProfile, next_safer, profile_named
from baize_tui.measures import list_text
from baize_tui.translation import msg, tr

_FAULTS = frozenset(
    {
        *(signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE),
        *(signal.SIGTRAP, signal.SIGSYS),
    }
)
"""Signals of code that fails on this machine. All others come from the out-of-memory killer, a
person or the system, and are no fault of the profile."""


NO_PROCESSOR = msg(
    "llama.cpp cannot run on this machine: {why}. Install llama-cpp-python again, compiled for "
    "this processor (README, Installation)"
)


class Operation:
    """What a caller asked for; it may take several workers."""

    first_death: WorkerDied | None = None


class Recovery:
    """Chooses the machine profile of the next worker.

    While one operation steps down the ladder of profiles, every worker starts under its profile.
    Once that operation has succeeded, its profile is remembered for this machine.
    """

    def __init__(
        self, profiles: ProfileCache, log_file: Path, on_notice: Callable[[str], None]
    ) -> None:
        """``on_notice`` receives one line when something stays switched off."""
        self._profiles = profiles
        self._log_file = log_file
        self._on_notice = on_notice
        self._stepping_down: Operation | None = None
        self._crashed_drafts: set[str] = set()
        self.profile: MachineProfile = FULL
        """The profile of the running worker, or of the next one."""
        self.closing = False
        """The engine is being closed: no worker is replaced any more."""

    @property
    def working_profile(self) -> WorkingProfile | None:
        """The profile remembered for this machine; None as long as the fastest one works."""
        return self._profiles.read()

    def choose_profile(self) -> MachineProfile:
        """The profile for a worker that is about to start."""
        if self._stepping_down is None:
            self.profile = self._remembered_profile()
        return self.profile

    def _remembered_profile(self) -> MachineProfile:
        known = self.working_profile
        return profile_named(known.profile) if known is not None else FULL

    @contextlib.contextmanager
    def operation(self) -> Iterator[Operation]:
        """An operation from its first attempt to its end."""
        operation = Operation()
        try:
            yield operation
        finally:
            if self._stepping_down is operation:
                self._stepping_down = None

    def usable_draft(self, draft: str) -> str:
        """The draft model ``draft``; empty if a worker died with it."""
        return "" if draft in self._crashed_drafts else draft

    def give_up_draft(self, draft: str, death: WorkerDied) -> bool:
        """Do without the draft model ``draft`` from now on, because a worker died with it.

        False if that had none: then something else has to change.
        """
        if death.killed_by is None or self.closing or not self.usable_draft(draft):
            return False
        self._crashed_drafts.add(draft)
        why = death_text(death.why)
        self._on_notice(
            tr("{why}; the draft model {draft} is not used any more", why=why, draft=draft)
        )
        return True

    def step_down(
        self, operation: Operation, worker: WorkerProcess, death: WorkerDied, file: str = ""
    ) -> None:
        """Choose the next safer profile after ``worker`` died during ``operation``.

        ``file`` is the model file that the operation is about; empty for the loaded model.

        Raises:
            WorkerDied: no signal killed it, or this engine is being closed.
            NoProfileLeft: it has died under every profile.
        """
        if death.killed_by is None or self.closing:
            raise death
        if worker.profile != self.profile:
            return  # another request of the same worker has already stepped down
        if self._stepping_down is None:
            self._stepping_down = operation
            operation.first_death = death
        safer = next_safer(self.profile, gpu_backend=has_gpu_backend())
        if safer is not None:
            self.profile = safer
            return
        self.profile = self._remembered_profile()
        file = file or (worker.loaded.path if worker.loaded is not None else "")
        raise NoProfileLeft(self._explain(worker, death, file))

    def _explain(self, worker: WorkerProcess, death: WorkerDied, file: str) -> str:
        why = tr(
            "{why}, in every machine profile; see {log}",
            why=death_text(death.why),
            log=self._log_file,
        )
        if not worker.started or death.killed_by == signal.SIGILL:
            # Every profile runs the same library: it is compiled for another processor.
            return tr(NO_PROCESSOR, why=why)
        if not file:
            return why
        return tr("{file} is damaged, or llama.cpp cannot run it: {why}", file=file, why=why)

    def succeeded(self, operation: Operation) -> None:
        """Remember the profile and report it, if ``operation`` had to step down."""
        death, operation.first_death = operation.first_death, None
        if death is None:
            return
        self._stepping_down = None
        self._profiles.write(self.profile, death.why, temporary=death.killed_by not in _FAULTS)
        without = list_text([tr(what) for what in self.profile.switched_off])
        why = death_text(death.why)
        self._on_notice(tr("{why}; llama.cpp now runs without {without}", why=why, without=without))
