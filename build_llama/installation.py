"""Installs llama-cpp-python with pip, trying several builds until one succeeds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TextIO

from baize_shared.progress import duration_text
from build_llama.attempts import Attempt
from build_llama.diagnosis import Failure, diagnose
from build_llama.display import Display
from build_llama.running import run

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

_PRINT_VERSION = "import llama_cpp; print(llama_cpp.__version__)"


@dataclass(frozen=True)
class Programs:
    """The commands that an installation calls; tests replace them by stand-ins."""

    pip: Sequence[str] = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    python: Sequence[str] = (sys.executable,)


def pinned_version(pyproject: Path = PYPROJECT) -> str:
    """The version of llama-cpp-python that the project depends on.

    Raises:
        ValueError: ``pyproject`` does not pin one.
    """
    dependencies = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    for dependency in dependencies:
        if match := re.fullmatch(r"llama-cpp-python==([\w.]+)", dependency):
            return match[1]
    raise ValueError(f"{pyproject} does not pin llama-cpp-python==VERSION")


class Installation:
    """Installs one version of llama-cpp-python and shows the progress on ``out``.

    The complete output of pip and of the compilers goes to the file ``log``.
    """

    def __init__(self, version: str, log: Path, out: TextIO, programs: Programs) -> None:
        self._version = version
        self._log = log
        self._programs = programs
        self._display = Display(out)

    def is_installed(self) -> bool:
        """Whether the environment can import this version."""
        return self._import_failure() is None

    def install(self, attempts: Sequence[Attempt]) -> bool:
        """Try ``attempts`` in turn until one succeeds; return whether one did.

        Raises:
            Cancelled: a signal ended it. No process that it started is left.
        """
        shown_log = os.path.relpath(self._log)
        say = self._display.say
        say(f"Compiling llama.cpp for this machine; the log is {shown_log}")
        began, cache = monotonic(), self._pip_cache()
        failure, failed_build, one_compiler = None, "", False
        for attempt in attempts:
            if failure is not None:
                say(f"{failed_build} failed: {failure.summary}")
                say(f"Trying {attempt.name}.")
            build = attempt.with_one_compiler() if one_compiler else attempt
            failure, failed_build = self._build(build, cache), attempt.name.capitalize()
            if failure is None:
                took = duration_text(monotonic() - began)
                say(f"Installed llama-cpp-python {self._version} in {took}.")
                return True
            one_compiler = one_compiler or failure.out_of_memory
            if not failure.retry:
                break
        assert failure is not None
        say("llama.cpp could not be installed:")
        for line in failure.lines:
            say(f"  {line}")
        say(f"The complete output is in {shown_log}")
        return False

    def _build(self, attempt: Attempt, cache: Path | None) -> Failure | None:
        """Run pip once and import the result; None if both succeed."""
        # Without this, pip would keep a broken installation of the same version.
        remove = [*self._programs.pip, "uninstall", "--yes", "llama-cpp-python"]
        command = [*self._programs.pip, "install", "--verbose", "--no-input"]
        if cache is not None and attempt.cache_key is not None:
            command += ["--cache-dir", str(cache / "baize-tui" / attempt.cache_key)]
        command.append(f"llama-cpp-python=={self._version}")
        output: list[str] = []
        with self._log.open("a", encoding="utf-8") as log:

            def record(line: str) -> None:
                log.write(line)
                output.append(line)
                self._display.read(line)

            record(f"# {attempt.name}: {shlex.join(command)}\n")
            self._display.restart()
            run(remove, attempt.environment, record, self._display.refresh)
            code = run(command, attempt.environment, record, self._display.refresh)
        return diagnose(output) if code != 0 else self._import_failure()

    def _import_failure(self) -> Failure | None:
        """Why this version cannot be imported; tried in another process, because it may crash."""
        command = [*self._programs.python, "-c", _PRINT_VERSION]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            message = f"'import llama_cpp' ended with exit code {result.returncode}"
            return Failure(None, [message, *result.stderr.splitlines()[-1:]])
        imported = result.stdout.strip()
        if imported != self._version:
            return Failure(None, [f"llama_cpp {imported} was imported, not {self._version}"])
        return None

    def _pip_cache(self) -> Path | None:
        """The folder of pip's own cache; None if the cache is switched off."""
        command = [*self._programs.pip, "cache", "dir"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return Path(result.stdout.strip()) if result.returncode == 0 else None
