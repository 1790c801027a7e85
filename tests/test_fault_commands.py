"""The scenarios with a broken machine know every command that writes."""

from __future__ import annotations

from benchmarks.faults.commands import CLIENT, READING, WRITING
from tests.program_commands import all_commands


def test_every_command_is_tried_or_writes_nothing() -> None:
    writing = {use.words for use in WRITING.values()} - {CLIENT}
    assert writing.isdisjoint(READING)
    assert writing | READING == set(all_commands())
