"""Files that are written completely or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from baize_shared.atomic_files import replace_when_complete, write_atomically


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "config.toml"
    target.write_bytes(b"before")
    target.chmod(0o640)
    write_atomically(target, b"after")
    assert target.read_bytes() == b"after"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomically(tmp_path / "new", b"text")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "config.toml"
    target.parent.mkdir()
    target.write_bytes(b"before")
    link = tmp_path / "config.toml"
    link.symlink_to(target)
    write_atomically(link, b"after")
    with replace_when_complete(link) as partial:
        partial.write_bytes(b"later")
    assert link.is_symlink()
    assert target.read_bytes() == b"later"


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("泽" * 85)  # 255 bytes
    write_atomically(target, b"text")
    assert target.read_bytes() == b"text"


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"after")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from baize_shared.atomic_files import write_atomically\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_atomically(Path({str(target)!r}), b'text')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    write_atomically(target, b"text")
    assert list(tmp_path.iterdir()) == [target]


def test_files_that_another_process_writes_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, fsync = tmp_path / "record.json", os.fsync

    def write_another(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        write_atomically(target, b"of the second")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", write_another)
    write_atomically(target, b"of the first")
    assert target.read_bytes() == b"of the first"
    assert list(tmp_path.iterdir()) == [target]


def test_an_exception_in_the_block_removes_the_partial_file(tmp_path: Path) -> None:
    target = tmp_path / "corpus.jsonl"
    target.write_bytes(b"before")
    with pytest.raises(ValueError, match="bad record"), replace_when_complete(target) as partial:
        partial.write_bytes(b"half")
        raise ValueError("bad record")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"first ")
        with replace_when_complete(pipe) as partial:
            partial.write_bytes(b"second")
        assert os.read(reader, 100) == b"first second"
    finally:
        os.close(reader)
    assert not pipe.is_file()
