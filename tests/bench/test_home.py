"""The home of a run: what it begins with, and that nothing of it stays."""

from __future__ import annotations

import os

import pytest

from baize_tui.bench.home import temporary_home
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Settings, load_settings


def test_it_knows_what_was_found_out_about_this_machine(paths: Paths) -> None:
    paths.cache.mkdir(parents=True)
    paths.attention_file.write_text("{}")
    (paths.snapshots_folder / "conversation").mkdir(parents=True)
    with temporary_home(paths) as home:
        assert home.paths.attention_file.read_text() == "{}"
        assert not home.paths.snapshots_folder.exists()
        assert home.folder.stat().st_mode & 0o077 == 0
    assert set(paths.cache.iterdir()) == {paths.attention_file, paths.snapshots_folder}


def test_it_is_removed_after_an_error(paths: Paths) -> None:
    with pytest.raises(RuntimeError), temporary_home(paths):
        raise RuntimeError
    assert list(paths.cache.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(paths: Paths) -> None:
    paths.cache.mkdir(parents=True)
    no_process = 1 << 30
    killed = paths.cache / f"bench-{no_process}-abc"
    running = paths.cache / f"bench-{os.getpid()}-abc"
    other = paths.cache / "bench-notes"
    for folder in (killed, running, other):
        (folder / "data").mkdir(parents=True)
    with temporary_home(paths):
        assert not killed.exists()
    assert set(paths.cache.iterdir()) == {running, other}


def test_the_client_reads_the_settings_that_were_written(paths: Paths) -> None:
    chat = ChatSettings(system="", moderation=False, format=None, think=False)
    model = ModelSettings(threads=3, gpu_layers=None)
    settings = Settings(model, chat, {"seed": 1})
    with temporary_home(paths) as home:
        home.write_settings(settings)
        assert load_settings(home.paths.settings_file) == settings
