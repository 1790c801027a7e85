"""Models in several files on the hub: one model from the plan to its removal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from baize_shared.split_files import model_bytes, model_files
from baize_tui.paths import Paths
from tests.conftest import PATIENCE_S, wait_for
from tests.engine.gguf_kinds import other_files, write_split
from tests.hub.conftest import Run, Spawn
from tests.hub.stand_in import Hub
from tests.hub.test_pull import PARIS, bytes_in, gguf_files, recipe, sha256
from tests.made_once import made_once

FIRST = "F16/split-00001-of-00003.gguf"
HEADS = 3 << 20
"""Bytes that are sent for a plan: a megabyte of each file."""


@pytest.fixture(scope="session")
def small_split_model(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model in three files, to be read only: the first of them."""
    folder = made_once(
        tmp_path_factory, "small-split", lambda folder: write_split(small_model, folder)
    )
    return folder / "split-00001-of-00003.gguf"


@pytest.fixture
def hub(hub: Hub, small_split_model: Path, small_model: Path, tmp_path: Path) -> Hub:
    """A repository with a model in three files, in one, and files beside them."""
    folder = tmp_path / "several"
    (folder / "F16").mkdir(parents=True)
    for file in model_files(small_split_model):
        (folder / "F16" / file.name).symlink_to(file)
    (folder / "whole-Q8_0.gguf").symlink_to(small_model)
    (folder / "mmproj-model-f16.gguf").write_bytes(b"GGUF")
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: plum-1.0\n---\n")
    hub.folders["owner/several"] = folder
    return hub


def test_a_model_in_several_files_is_planned_pulled_listed_and_removed_as_one(
    hub: Hub, run_client: Run, paths: Paths, small_split_model: Path
) -> None:
    size = model_bytes(small_split_model)
    recipe(paths, "big", f'repository = "hf:owner/several"\nfile = "{FIRST}"\n')
    plan = json.loads(run_client("models", "plan", "big", "--json").stdout)
    assert (plan["bytes"], plan["cost"]) == (size, {"disk": size, "download": size})
    assert hub.sent < 4_000_000  # a megabyte of each file
    done = run_client("models", "pull", "big", "--json")
    assert done.returncode == 0, done.stderr
    first = Path(json.loads(done.stdout)["path"])
    assert first == paths.models_folder / "big-00001-of-00003.gguf"
    assert [sha256(file) for file in model_files(first)] == [
        sha256(file) for file in model_files(small_split_model)
    ]
    (listed,) = (
        model
        for model in json.loads(run_client("models", "list", "--json").stdout)["models"]
        if model["name"] == "big"
    )
    assert (listed["bytes"], listed["installed"]) == (size, True)
    assert "in 3 files" in run_client("models", "info", "big").stdout
    after = json.loads(run_client("models", "plan", "big", "--json").stdout)
    assert after["measured"]["footprint"]["weights"] == plan["measured"]["footprint"]["weights"]
    assert run_client("ask", PARIS, "-m", "big", "--regex", "Paris").stdout == "Paris\n"
    assert run_client("models", "remove", "big").returncode == 0
    assert gguf_files(paths.models_folder) == []


def test_any_name_of_it_on_the_hub_is_the_same_model(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    for name in ("", "/F16", f"/{FIRST}", f"/{FIRST.replace('1-of', '3-of')}"):
        outtype = () if name else ("--outtype", "F16")
        done = run_client("models", "plan", f"hf:owner/several{name}", "--json", *outtype)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["license"] == "plum-1.0"
    refused = run_client("models", "plan", "hf:owner/several").stderr
    assert "has 2 GGUF models" in refused
    assert "mmproj" not in refused


def test_a_killed_pull_resumes_with_the_file_it_was_at(
    hub: Hub, spawn_client: Spawn, run_client: Run, paths: Paths, small_split_model: Path
) -> None:
    recipe(paths, "big", f'repository = "hf:owner/several"\nfile = "{FIRST}"\n')
    first_size = model_files(small_split_model)[0].stat().st_size
    hub.faults.stall_after_bytes = HEADS + first_size + 2_500_000
    process = spawn_client("models", "pull", "big")
    assert hub.stalled.wait(PATIENCE_S)
    wait_for(lambda: bytes_in(paths.models_folder) > first_size + 1_000_000)
    process.kill()
    process.communicate()
    hub.faults.stall_after_bytes = None
    hub.go_on.set()
    assert "not downloaded" in run_client("ask", "Hi", "-m", "big").stderr
    assert not (paths.models_folder / "big-00001-of-00003.gguf").exists()
    sent, kept = hub.sent, bytes_in(paths.models_folder)
    assert run_client("models", "pull", "big").returncode == 0
    assert hub.sent - sent < model_bytes(small_split_model) + HEADS - kept + 10_000
    first = paths.models_folder / "big-00001-of-00003.gguf"
    assert [sha256(f) for f in model_files(first)] == [
        sha256(f) for f in model_files(small_split_model)
    ]
    assert run_client("models", "remove", "big").returncode == 0
    assert not any(paths.models_folder.glob("*.gguf*"))


def test_files_in_the_hubs_cache_are_not_downloaded_again(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path, small_split_model: Path
) -> None:
    recipe(paths, "big", f'repository = "hf:owner/several"\nfile = "{FIRST}"\n')
    cache = tmp_path / "hf" / "hub"
    names = [f"F16/{file.name}" for file in model_files(small_split_model)]
    cached = hf_hub_download("owner/several", names[1], endpoint=hub.url, cache_dir=cache)
    sent, kept = hub.sent, Path(cached).stat().st_size
    assert run_client("models", "pull", "big").returncode == 0
    assert hub.sent - sent < model_bytes(small_split_model) + HEADS - kept + 10_000
    assert run_client("models", "remove", "big").returncode == 0
    for name in names:
        hf_hub_download("owner/several", name, endpoint=hub.url, cache_dir=cache)
    path = json.loads(run_client("models", "pull", "big", "--json").stdout)["path"]
    assert gguf_files(paths.models_folder) == []
    assert Path(path).name == "split-00001-of-00003.gguf"
    assert run_client("ask", PARIS, "-m", "big", "--regex", "Paris").stdout == "Paris\n"


def test_what_cannot_chat_is_refused_before_it_is_downloaded(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    folder = tmp_path / "kinds"
    kinds = other_files(folder)
    hub.folders["owner/kinds"] = folder
    for name in ("bert", "vocabulary", "pooled"):
        done = run_client("models", "pull", f"hf:owner/kinds/{name}.gguf")
        assert done.returncode == 1
        assert kinds[name][1] in done.stderr
        assert f"hf:owner/kinds/{name}.gguf" in done.stderr
        assert "head-" not in done.stderr
    second = FIRST.replace("00001", "00002")
    recipe(paths, "part", f'repository = "hf:owner/several"\nfile = "{second}"\n')
    assert "is file 2 of 3 of a model: give" in run_client("models", "plan", "part").stderr
    assert gguf_files(paths.models_folder) == []


def test_a_model_in_a_folder_is_found_and_the_advice_names_it(
    hub: Hub, run_client: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(hub.folders["owner/base"], folder / "tiny" / "v1")
    hub.folders["owner/models"] = folder
    said = run_client("models", "plan", "hf:owner/models").stderr
    assert "no model at its top, but in tiny/v1" in said
    assert "as in hf:owner/models/tiny/v1" in said
    done = run_client("models", "plan", "hf:owner/models/tiny/v1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "models-v1"
    assert "it has tiny/v1" in run_client("models", "plan", "hf:owner/models/other").stderr
