"""Whatever a command writes is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.sweeps import swept
from tests.terminal.command_uses import USES, complete
from tests.terminal.hostile_world import World
from tests.terminal.terminal_bytes import hostile_name
from tests.warm_start import PROGRAMS


def entries(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        if folder.exists():
            yield folder
            yield from folder.rglob("*")


def shared(*folders: Path) -> set[Path]:
    """What others than the owner may read, write or enter; links have no permissions."""
    return {
        path
        for path in entries(*folders)
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    }


# Of bench nothing stays: tests/cli/test_bench.py and tests/bench/test_home.py.
@pytest.mark.parametrize(
    ("umask", "with_bench"),
    swept([(0o000, False), (0o000, True), (0o022, True), (0o077, True)], (0o000, False)),
)
def test_all_that_the_commands_write_is_private(
    umask: int, with_bench: bool, world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    before = shared(tmp_path)
    written = set(entries(tmp_path))
    for words in USES:
        if words == "baize-tui bench" and not with_bench:
            continue
        _python, _m, program, *arguments = complete(words, world, environment)
        PROGRAMS.run(program, arguments, environment, prepare=partial(os.umask, umask))
    assert shared(tmp_path) - before == set()
    outputs = {path.name for path in set(entries(world.folder)) - written}
    merged = f"{hostile_name('Qtyped')}.gguf"
    assert {merged, "adapter.gguf", "out.jsonl", "a.jsonl", "b.jsonl"} <= outputs


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_home_itself_is_private(umask: int, tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    done = subprocess.run(
        [sys.executable, "-m", "baize_tui", "sessions", "list"],
        env={**os.environ, "BAIZE_HOME": str(home)},
        capture_output=True,
        umask=umask,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert home.is_dir()
    assert shared(home.parent) == set()
