"""Why an installation failed, from the output of pip, CMake and the compiler."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_LINES = 8
_LINE_CHARACTERS = 160

_INSTALL_COMPILER = (
    "Install one and repeat: 'apt install build-essential' on Debian and Ubuntu, "
    "'dnf install gcc-c++ make' on Fedora, 'xcode-select --install' on macOS."
)


@dataclass(frozen=True)
class Cause:
    """A known cause of failures; ``retry``: another build may succeed."""

    message: str
    pattern: re.Pattern[str]
    retry: bool = False
    out_of_memory: bool = False


# The first match is the cause, because one missing program makes later checks fail too.
CAUSES = (
    Cause(
        "The disk is full.",
        re.compile(r"No space left on device"),
    ),
    Cause(
        "CMake or ninja is missing, and pip found no package of it. Install both and repeat: 'apt "
        "install cmake ninja-build' on Debian and Ubuntu, 'dnf install cmake ninja-build' on "
        "Fedora, 'brew install cmake ninja' on macOS.",
        re.compile(
            r"No matching distribution found for (cmake|ninja)|Could not find CMake"
            r"|unable to find a build program"
        ),
    ),
    Cause(
        f"There is no C and C++ compiler. {_INSTALL_COMPILER}",
        re.compile(
            r"No CMAKE_(C|CXX)_COMPILER could be found|CMAKE_(C|CXX)_COMPILER not set"
            r"|no developer tools were found|invalid active developer path"
        ),
    ),
    Cause(
        "pip could not download all packages. Check the network and pip's index.",
        re.compile(
            r"No matching distribution found for|ERROR: HTTP error"
            r"|OSError: HTTPS?ConnectionPool|ReadTimeoutError: HTTPS?ConnectionPool"
        ),
    ),
    Cause(
        "The compiler ran out of memory.",
        re.compile(r"Killed signal terminated program|virtual memory exhausted"),
        retry=True,
        out_of_memory=True,
    ),
)

_ERROR = re.compile(
    r"(^|: )(fatal )?error: |^CMake Error|^ERROR: |undefined reference to|cannot find -l"
)
_PIP_SUMMARY = re.compile(
    r"subprocess-exited-with-error|Failed building wheel|Failed to build|Could not build wheels"
    r"|error originates from a|did not run successfully|CMake (build|configuration) failed"
)


@dataclass(frozen=True)
class Failure:
    """A failed build: its cause, None if unknown, and the most useful lines of the output."""

    cause: Cause | None
    lines: Sequence[str]

    @property
    def retry(self) -> bool:
        """Whether a build with other settings may succeed."""
        return self.cause is None or self.cause.retry

    @property
    def out_of_memory(self) -> bool:
        return self.cause is not None and self.cause.out_of_memory

    @property
    def summary(self) -> str:
        """The reason in one line."""
        return self.cause.message if self.cause else self.lines[-1]


def diagnose(output: Sequence[str]) -> Failure:
    """Find the cause of a failed installation in its output."""
    text = "\n".join(output)
    cause = next((cause for cause in CAUSES if cause.pattern.search(text)), None)
    return Failure(cause, [cause.message] if cause else _error_lines(output))


def _error_lines(output: Sequence[str]) -> list[str]:
    """The last error lines, at most ``MOST_LINES``; without any, the last lines."""
    lines = [line.strip() for line in output if line.strip()] or ["pip printed nothing"]
    errors: dict[str, None] = {}
    for number, line in enumerate(lines):
        if _ERROR.search(line) and not _PIP_SUMMARY.search(line):
            errors[line] = None
            if line.startswith("CMake Error") and line.endswith(":"):
                errors.update(dict.fromkeys(lines[number + 1 : number + 2]))
    last = (list(errors) or lines)[-MOST_LINES:]
    return [line[:_LINE_CHARACTERS] for line in last]
