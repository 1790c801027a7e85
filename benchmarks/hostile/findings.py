"""What breaks a promise in the outcome of a command that read a hostile input."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.hostile.forked_command import Outcome
from benchmarks.hostile.sandbox import Listing, Sandbox
from benchmarks.hostile.subjects import Use
from tests.terminal.terminal_bytes import find_harm

LONGEST_S = 5.0
MOST_MEMORY = 1 << 30
_BUGS = (b"Traceback", b"unexpected error", b"an error in the model process")
_SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def findings(outcome: Outcome, use: Use, sandbox: Sandbox, before: Listing) -> Iterator[str]:
    """Each promise that the ``outcome`` of ``use`` breaks; ``before`` are the files before it."""
    if outcome.seconds > LONGEST_S:
        yield f"took {outcome.seconds:.1f} s"
    if outcome.resident > MOST_MEMORY:
        yield f"took {outcome.resident >> 20} MB"
    if outcome.code not in use.codes:
        yield f"ended with {outcome.code}: {_shortened(outcome.errors)}"
    if any(bug in outcome.written for bug in _BUGS):
        yield f"a bug: {_shortened(outcome.written)}"
    if (harm := find_harm(outcome.written)) is not None:
        yield f"wrote {harm}"
    lines = message_lines(outcome)
    if outcome.code == 1 and (len(lines) > use.most_lines or not (lines or outcome.out.strip())):
        yield f"a message of {len(lines)} lines: {lines[:4]}"
    if sandbox.canary.exists():
        yield "code was executed"
    if outcome.left:
        yield f"left {len(outcome.left)} processes"
    after = sandbox.listing()
    if changed := {path for path in {*before, *after} if before.get(path) != after.get(path)}:
        yield f"changed {sorted(changed)[:3]}"


def message_lines(outcome: Outcome) -> list[str]:
    """The lines that stay on the terminal of stderr, without progress that was overwritten."""
    text = _SEQUENCE.sub(b"", outcome.errors).decode("utf-8", "replace")
    lines = (line.removesuffix("\r").rpartition("\r")[2] for line in text.split("\n"))
    return [line for line in lines if line.strip()]


def _shortened(written: bytes) -> str:
    text = written.decode("utf-8", "replace").strip()
    return text if len(text) <= 500 else f"{text[:150]} … {text[-350:]}"
