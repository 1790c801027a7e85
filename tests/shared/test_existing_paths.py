"""Paths that a person names may be anything; asking whether something is there never fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from baize_shared.existing_paths import exists, is_file, is_folder
from baize_tui.app.screens.model_import import parse_path

IMPOSSIBLE = [
    "白" * 400,
    "x" * 5000,
    "a/" * 3000,
    "\x00",
    "file/below",
    "\ud800",
    "with\\ blanks" * 99,
]


@pytest.mark.parametrize("check", [exists, is_file, is_folder])
@pytest.mark.parametrize("name", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_nothing_is_at_an_impossible_path(
    check: Callable[[Path], bool], name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert not check(tmp_path / name)


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_what_is_typed_as_a_path_is_a_path(name: str) -> None:
    parse_path(name)


def test_what_is_there_is_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert [check(file) for check in (exists, is_file, is_folder)] == [True, True, False]
    assert [check(tmp_path) for check in (exists, is_file, is_folder)] == [True, False, True]
