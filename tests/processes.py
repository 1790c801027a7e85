"""Other processes, any of which may end while a test looks at it."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from tests.conftest import wait_for


def children_of(pid: int) -> list[int]:
    """Process ids whose parent is ``pid``; none if that has ended."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def descendants_of(pid: int) -> list[int]:
    """Process ids of the children of ``pid``, and theirs; none if it has ended."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def command_line(pid: int) -> str:
    """The arguments of a process, with spaces between; empty once it has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie that only waits to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids: Iterable[int]) -> None:
    waiting = list(pids)
    wait_for(lambda: not any(map(is_running, waiting)))
