"""What must hold in a world after a command, whether it failed or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import subprocess
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from gguf import GGUFReader
from safetensors import safe_open

from baize_train.training.checkpoints import CHECKPOINTS, is_complete
from benchmarks.faults.world import QUESTION, World
from tests.warm_start import RunningCommand

PATIENCE_S = 600.0
"""How long a command may take."""
_ENDS_WITHIN_S = 10.0
"""How long its processes may take to end after it."""
_UNFINISHED = re.compile(r"\.partial$|\.incomplete$|\.lock$|-wal$|-shm$|-journal$|^\.")
"""Names of files that say themselves that they are not complete, or not for people."""
_PROGRESS = re.compile("[━╌]")


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int | None
    """None if it took too long and was killed; minus the signal if one ended it."""
    output: str
    errors: str


def wait_for(running: RunningCommand, limit_s: float = PATIENCE_S) -> Ended:
    """The end of a command, which is killed after ``limit_s`` seconds."""
    code: int | None = None
    try:
        done = running.wait(limit_s)
        code, output, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        output, errors = late.stdout or b"", late.stderr or b""
    return Ended(code, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))


def examine_failure(ended: Ended) -> str | None:
    """What is wrong with the end of a command that could not do its work, or None."""
    if ended.code is None:
        return f"it hung: {ended.errors[-300:]!r}"
    if "Traceback" in ended.errors or "unexpected error" in ended.errors:
        return f"a bug shows: {ended.errors[-600:]!r}"
    if ended.code == 0:
        return None
    if ended.code != 1:
        return f"exit code {ended.code}: {ended.errors[-300:]!r}"
    lines = [line for line in ended.errors.splitlines() if not _PROGRESS.search(line)]
    if not lines or not lines[-1].startswith("baize-"):
        return f"it does not say why: {ended.errors[-300:]!r}"
    return None


def examine_files(world: World, template: Path) -> str | None:
    """What is wrong with the files: given ones changed, made ones incomplete, the store damaged."""
    for file in sorted((template / world.given.name).rglob("*")):
        now = world.given / file.relative_to(template / world.given.name)
        if file.is_file() and (not now.is_file() or now.read_bytes() != file.read_bytes()):
            return f"{now.name} was changed"
    for file in sorted(world.folder.rglob("*")):
        inside = file.relative_to(world.folder).parts
        if inside[0] in ("given", "tmp", "user") or not file.is_file():
            continue
        if any(_UNFINISHED.search(part) for part in inside) or _is_in_half_a_checkpoint(file):
            continue
        if problem := _examine_file(file):
            return f"{file.relative_to(world.folder)}: {problem}"
    return examine_store(world.paths.conversations_file)


def _is_in_half_a_checkpoint(file: Path) -> bool:
    """Whether ``file`` is part of a checkpoint that the next run will delete as incomplete."""
    folder = file.parent
    return folder.parent.name == CHECKPOINTS and not is_complete(folder)


def examine_store(file: Path) -> str | None:
    """What is wrong with a conversations file, or None."""
    if damaged := list(file.parent.glob("*.damaged*")):
        return f"the store was set aside as {damaged[0].name}"
    with contextlib.closing(sqlite3.connect(file)) as store:
        (result,) = store.execute("PRAGMA integrity_check").fetchone()
        if result != "ok":
            return f"the store: {result}"
        wrong = store.execute("PRAGMA foreign_key_check").fetchall()
        return f"the store has {len(wrong)} rows without what they refer to" if wrong else None


def _examine_file(file: Path) -> str | None:
    check = _CHECKS.get(file.suffix)
    if check is None:
        return None
    try:
        return check(file)
    except Exception as error:  # noqa: BLE001 - each kind of file has its own errors
        return f"it cannot be read: {type(error).__name__}: {error}"


def _examine_json(file: Path) -> str | None:
    json.loads(file.read_bytes())
    return None


def _examine_lines(file: Path) -> str | None:
    content = file.read_bytes()
    for line in content.splitlines():
        json.loads(line)
    return None if not content or content.endswith(b"\n") else "its last line has no end"


def _examine_toml(file: Path) -> str | None:
    tomllib.loads(file.read_text("utf-8"))
    return None


def _examine_gguf(file: Path) -> str | None:
    for tensor in GGUFReader(file).tensors:
        tensor.data.sum()
    return None


def _examine_weights(file: Path) -> str | None:
    with safe_open(file, "np") as weights:
        for name in weights.keys():  # noqa: SIM118 - not a mapping
            weights.get_tensor(name)
    return None


def _examine_database(file: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        (result,) = database.execute("PRAGMA integrity_check").fetchone()
    return None if result == "ok" else str(result)


def _examine_text(file: Path) -> str | None:
    return None if file.stat().st_size else "it is empty"


_CHECKS: dict[str, Callable[[Path], str | None]] = {
    ".json": _examine_json,
    ".jsonl": _examine_lines,
    ".toml": _examine_toml,
    ".gguf": _examine_gguf,
    ".safetensors": _examine_weights,
    ".db": _examine_database,
    ".md": _examine_text,
    ".html": _examine_text,
    ".txt": _examine_text,
    "": _examine_text,
}


def effect(world: World) -> Counter[str]:
    """What a command has made, in a form that is the same every time."""
    found = Counter(
        f"file {file.relative_to(world.folder)} {_content(file)}"
        for folder in (world.made, world.home / "config", world.home / "data")
        for file in folder.rglob("*")
        if file.is_file()
        and "conversations" not in file.name
        and "clients" not in file.parts
        and not _UNFINISHED.search(file.name)
    )
    with contextlib.closing(sqlite3.connect(world.paths.conversations_file)) as store:
        for row in store.execute(
            "SELECT title, tags, pinned, archived, deleted_at IS NULL FROM conversation"
        ):
            found[f"conversation {row}"] += 1
        for row in store.execute(
            "SELECT role, CASE role WHEN 'user' THEN text END, state FROM message"
        ):
            found[f"message {row}"] += 1
    return found


_THE_SAME = (".toml", ".html")
"""Endings of files that have the same content each time; others have times and versions."""


def _content(file: Path) -> str:
    if file.suffix == ".jsonl":
        return f"{len(file.read_bytes().splitlines())} lines"
    if file.suffix not in _THE_SAME:
        return ""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8]


def examine_effect(world: World, expected: Counter[str]) -> str | None:
    """What is missing of the effect that the command has said it had, or None."""
    missing = expected - effect(world)
    return f"missing: {', '.join(sorted(missing)[:3])}" if missing else None


def kept_questions(world: World) -> int:
    """How many of the questions that the world began with are left."""
    with contextlib.closing(sqlite3.connect(world.paths.conversations_file)) as store:
        query = "SELECT count(*) FROM message WHERE text = ?"
        (count,) = store.execute(query, (QUESTION,)).fetchone()
    return int(count)


def examine_processes(world: World) -> str | None:
    """What still runs in the world; it is then killed."""
    end = time.monotonic() + _ENDS_WITHIN_S
    while left := _processes(world):
        if time.monotonic() > end:
            lines = [" ".join(process.cmdline())[:80] for process in left]
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            return f"left: {', '.join(lines)}"
        time.sleep(0.05)
    return None


def _processes(world: World) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = process.environ().get("BAIZE_HOME") == str(world.home)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
