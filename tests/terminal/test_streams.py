"""Standard streams that are closed, gone or full: every command of every program ends in order."""

from __future__ import annotations

import subprocess

import pytest

from tests.terminal.command_uses import USES, complete
from tests.terminal.hostile_world import World

SHELL_CONDITIONS = {
    "no stdin": "<&-",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "nothing": "<&- >&- 2>&-",
    "full": "</dev/null >/dev/full",
}
CONDITIONS = (*SHELL_CONDITIONS, "reader gone", "messages not read")


def run(arguments: list[str], condition: str, environment: dict[str, str]) -> tuple[int, str]:
    """The exit code and stderr of a command under ``condition``."""
    shell = ["sh", "-c", f'exec "$@" {SHELL_CONDITIONS.get(condition, "")}', "sh"]
    process = subprocess.Popen(
        [*shell, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    if condition == "reader gone":
        process.stdout.close()
    if condition == "messages not read":
        process.stderr.close()
    read = process.stdout if process.stderr.closed else process.stderr
    said = read.read().decode()
    process.wait()
    for stream in (process.stdout, process.stderr):
        stream.close()
    return process.returncode, said


@pytest.mark.parametrize(
    ("words", "condition"),
    [
        pytest.param(words, condition, id=f"{words}-{condition}", marks=marks)
        for row, words in enumerate(USES)
        for column, condition in enumerate(CONDITIONS)
        # One condition for every sixth command always, the others with the sweeps.
        for marks in [
            () if (row % 6, column) == (0, row // 6 % len(CONDITIONS)) else (pytest.mark.sweep,)
        ]
    ],
)
def test_a_command_ends_in_order(
    words: str, condition: str, world: World, environment: dict[str, str]
) -> None:
    code, said = run(complete(words, world, environment), condition, environment)
    assert code in (0, 1), said
    for word in ("Traceback", "unexpected error", "Exception ignored"):
        assert word not in said
    if condition == "no stdout":
        assert code == 1
        program = words.split()[0]
        assert said == f"{program}: there is nowhere to print to: standard output is closed\n"
