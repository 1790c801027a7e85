"""Conversations while the clock moves back and forward between commands."""

from __future__ import annotations

import json
import random

from benchmarks.faults.commands import Use
from benchmarks.faults.outcome import examine_failure, wait_for
from benchmarks.faults.trials import Trials

_STEPS = 4
_JUMPS_S = (1.0, 60.0, 3600.0, 86400.0, 30 * 86400.0, 400 * 86400.0)


def check_order(machine: Trials, case: int) -> str | None:
    """Ask and list, with a jump before each: what was used last is first, in its order."""
    chance = random.Random(case)
    machine.begin()
    asked: list[str] = []
    last = ""
    try:
        for step in range(_STEPS):
            machine.injection.move_clock(chance.choice((-1, 1)) * chance.choice(_JUMPS_S))
            session = machine.world.session if chance.random() < 0.5 else None
            problem = _ask(machine, f"Question {step}", session)
            if problem is not None:
                return problem
            listed = _json(machine, "sessions list")["sessions"]
            newest = listed[0]["id"]
            if session is not None:
                asked.append(f"Question {step}")
                last = session
            if session is not None and newest != session:
                return f"step {step}: {listed[0]['title']!r} is first, not what was used last"
            if session is None and newest == last:
                return f"step {step}: the new conversation is not the first"
            last = newest
        shown = _json(machine, "sessions show", machine.world.session)["messages"]
        order = [m["text"] for m in shown if m["role"] == "user" and m["text"] in asked]
        return None if order == asked else f"the questions are in the order {order}"
    finally:
        machine.injection.move_clock(0)


def _ask(machine: Trials, question: str, session: str | None) -> str | None:
    model = machine.world.model
    chosen = () if session is None else ("--session", session)
    use = Use(
        "baize-tui ask",
        lambda _: (question, "--model", model, "--max-tokens", "4", *chosen),
    )
    ended = wait_for(machine.start(use))
    problem = examine_failure(ended)
    if problem is None and ended.code:
        problem = f"exit code {ended.code}: {ended.errors[-200:]!r}"
    return problem


def _json(machine: Trials, command: str, *arguments: str) -> dict[str, list[dict[str, str]]]:
    use = Use(f"baize-tui {command}", lambda _: (*arguments, "--json"))
    ended = wait_for(machine.start(use))
    assert ended.code == 0, ended.errors
    result: dict[str, list[dict[str, str]]] = json.loads(ended.output)
    return result
