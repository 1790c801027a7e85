"""Files that are created without following what others may have put in their place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from baize_shared.atomic_files import replace_when_complete
from baize_shared.private_files import create_file, open_or_create, open_own_file, private_folder

MINE = b"a file that must stay as it is"


def plant_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def plant_hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link])
@pytest.mark.parametrize("open_file", [create_file, open_or_create])
def test_what_a_planted_link_names_is_not_written(
    plant: Callable[[Path, Path], None], open_file: Callable[[Path], int], tmp_path: Path
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.gguf.partial"
    victim.write_bytes(MINE)
    plant(path, victim)
    with os.fdopen(open_file(path), "wb") as file:
        file.write(b"new")
    assert victim.read_bytes() == MINE
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


def test_a_pipe_is_not_opened_to_resume_and_nobody_waits(tmp_path: Path) -> None:
    pipe = tmp_path / "model.gguf.partial"
    os.mkfifo(pipe)
    assert open_own_file(pipe) is None
    os.close(open_or_create(pipe))
    assert pipe.is_file()


def test_an_own_file_is_resumed_and_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf.partial"
    path.write_bytes(b"half")
    path.chmod(0o644)
    with os.fdopen(open_or_create(path), "r+b") as file:
        assert file.read() == b"half"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_large_file_is_written_beside_its_target_and_not_through_a_link(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "adapter.gguf"
    victim.write_bytes(MINE)
    (tmp_path / "adapter.gguf.partial").symlink_to(victim)
    with replace_when_complete(target) as partial:
        partial.write_bytes(b"new")
    assert victim.read_bytes() == MINE
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_every_missing_folder_is_private(tmp_path: Path) -> None:
    private_folder(tmp_path / "data" / "models")
    for folder in (tmp_path / "data", tmp_path / "data" / "models"):
        assert folder.stat().st_mode & 0o777 == 0o700
