"""Tries uses of commands while the machine is broken, and again once it is repaired."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.faults.capabilities import drop_capabilities
from benchmarks.faults.commands import WRITING, Use
from benchmarks.faults.injection import Injection, compile_library
from benchmarks.faults.outcome import (
    Ended,
    effect,
    examine_effect,
    examine_failure,
    examine_files,
    examine_processes,
    wait_for,
)
from benchmarks.faults.world import World, build_world, make_template, put_back, servers
from tests.warm_start import PROGRAM_MODULES, TRAINING_MODULES, RunningCommand, WarmStart

_REASON = re.compile(
    "no space|quota|input/output|disk i/o|read-only|permission|writing to it", re.IGNORECASE
)
LIBRARIES = ("gguf", "huggingface_hub", "numpy", "safetensors", "tokenizers")
"""What commands import later; all of them have the same environment here."""
Broken = Callable[[], bool]
"""Whether the fault was met."""


class Trials:
    """Runs the uses of ``WRITING`` in a world that each trial begins with."""

    def __init__(self, folder: Path, environment: Mapping[str, str], world: World) -> None:
        self.world = world
        self.injection = Injection(compile_library(folder), folder / "control", world.folder)
        self.template = make_template(world)
        self._environment = {**environment, **self.injection.environment}
        # The home marks the processes of the programs; the warm ones go on after them.
        unmarked = {**os.environ, **self._environment, "BAIZE_HOME": ""}
        self._programs = {
            slow: WarmStart(*modules, environment=unmarked)
            for slow, modules in ((False, PROGRAM_MODULES + LIBRARIES), (True, TRAINING_MODULES))
        }
        self._effects: dict[str, Counter[str]] = {}
        self.met: Counter[str] = Counter()
        """How often a fault was met, by the use."""

    def close(self) -> None:
        for programs in self._programs.values():
            programs.close()
        self.injection.close()

    def start(self, use: Use, without: Sequence[int] = ()) -> RunningCommand:
        """Start a use, without some capabilities of root."""
        _python, _m, module, *arguments = use.process(self.world, self._environment)
        return self._programs[use.slow].start(
            module,
            arguments,
            self._environment,
            cwd=self.world.made,
            stdin=use.text.encode(),
            prepare=partial(drop_capabilities, without) if without else None,
        )

    def begin(self) -> None:
        """Put the world back."""
        put_back(self.world, self.template)
        self.injection.stop()

    def check(
        self, name: str, fault: AbstractContextManager[Broken], without: Sequence[int] = ()
    ) -> str | None:
        """Run a use while ``fault`` holds; what broke then or afterwards, or None."""
        use = WRITING[name]
        self.begin()
        with fault as was_met:
            ended = wait_for(self.start(use, without))
            met = was_met()
        self.met[name] += met
        problem = examine_failure(ended) or self._check_end(name, use, ended, met)
        return f"{problem} [{ended.errors[-200:]!r}]" if problem else None

    def _check_end(self, name: str, use: Use, ended: Ended, met: bool) -> str | None:
        problem = self.examine_world()
        if problem:
            return problem
        if ended.code == 0:
            problem = examine_effect(self.world, self.effect(name))
            if problem and not (use.goes_on and met and _REASON.search(ended.output)):
                return f"it reports success, {problem}"
            return None
        if not met:
            return "it failed without a fault"
        problem = self.check_again(name, use)
        return f"afterwards: {problem}" if problem else None

    def examine_world(self) -> str | None:
        """What is wrong with the processes and files after a use, or None."""
        return examine_processes(self.world) or examine_files(self.world, self.template)

    def check_again(self, name: str, use: Use) -> str | None:
        """Run the use where it failed before; what breaks, or None."""
        again = wait_for(self.start(use))
        problem = examine_failure(again) or self.examine_world()
        problem = problem or examine_effect(self.world, self.effect(name))
        # A command may also say that its work was done before.
        return f"{problem} [{again.errors[-300:]!r}]" if problem else None

    def effect(self, name: str) -> Counter[str]:
        """What the use does where nothing fails; the world stays as it is."""
        if name not in self._effects:
            aside = self.world.folder.with_name("aside")
            self.world.folder.rename(aside)
            self.begin()
            ended = wait_for(self.start(WRITING[name]))
            assert ended.code == 0, f"{name} does not work: {ended.errors[-300:]!r}"
            self._effects[name] = effect(self.world)
            put_back(self.world, aside)
            shutil.rmtree(aside)
        return self._effects[name]


@contextmanager
def trials(folder: Path) -> Iterator[Trials]:
    """Trials in a new world in ``folder``.

    Raises:
        NoCompiler: faults cannot be injected on this machine.
    """
    world = build_world(folder / "world")
    with servers(world) as environment:
        opened = Trials(folder, environment, world)
        try:
            yield opened
        finally:
            opened.close()
