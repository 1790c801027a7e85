"""Pulling models from the hub: ``baize-tui`` as a process, against a stand-in on this machine."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_shared.sizes import size_text
from baize_tui.paths import Paths
from tests.conftest import PATIENCE_S, wait_for
from tests.convert.model_folders import read_tensors
from tests.hub.conftest import TOKEN, Run, Spawn
from tests.hub.stand_in import Hub

GGUF = "small-F16.gguf"
PARIS = "What is the capital of France?"


def recipe(paths: Paths, name: str, text: str) -> None:
    paths.recipes_folder.mkdir(parents=True, exist_ok=True)
    (paths.recipes_folder / f"{name}.toml").write_text(text)


def gguf_recipe(paths: Paths, name: str = "ready", **more: str) -> str:
    """Write a recipe of a GGUF on the hub; its name."""
    lines = {"repository": "hf:owner/ggufs", "file": GGUF, **more}
    recipe(paths, name, "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    return name


def checkpoint_recipe(paths: Paths, name: str = "made", **more: Any) -> str:
    """Write a recipe of a checkpoint and an adapter on the hub; its name."""
    lines = {"base": "hf:owner/base", "adapters": ["hf:owner/adapter"], "outtype": "Q8_0", **more}
    recipe(paths, name, "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    return name


def failure_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a command that failed."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def gguf_files(folder: Path) -> list[str]:
    """Files with the name of a model or a similar one."""
    return sorted(file.name for file in folder.glob("*.gguf")) if folder.is_dir() else []


def serve_gguf(hub: Hub, file: Path, folder: Path) -> str:
    """Add a repository whose only file is the GGUF ``file``; its name."""
    folder.mkdir()
    (folder / file.name).symlink_to(file)
    hub.folders["owner/single"] = folder
    return "owner/single"


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*"))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# --- from a recipe to an answer -------------------------------------------------------------------


def test_a_checkpoint_is_quantized_while_it_downloads_and_then_answers(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    checkpoint_recipe(
        paths, base="hf:owner/smollm2", adapters=[], outtype="Q8_0", license="Apache-2.0"
    )
    done = run_client("models", "pull", "made")
    assert done.returncode == 0, done.stderr
    assert "to download" in done.stderr
    asked = run_client("ask", PARIS, "-m", "made", "--temperature", "0", "--json")
    assert asked.returncode == 0, asked.stderr
    assert "Paris" in json.loads(asked.stdout)["text"]
    # Nothing of the 16-bit weights is on the disk, and all of them came once.
    shards = list(hub.folders["owner/smollm2"].glob("*.safetensors"))
    weights = sum(file.stat().st_size for file in shards)
    assert [f for f in (tmp_path / "hf").rglob("*") if f.is_file() and f.stat().st_size > 5e6] == []
    assert hub.sent < 1.05 * weights + 20_000_000
    info = json.loads(run_client("models", "info", "made", "--json").stdout)
    assert info["pulled"]["commits"] == {"owner/smollm2": hub.commit("owner/smollm2")}
    assert info["pulled"]["outtype"] == "Q8_0"
    assert info["lineage"]["base commit"] == hub.commit("owner/smollm2")
    assert all(sha256(file) in info["lineage"]["their SHA-256"] for file in shards)


def test_base_and_adapter_are_merged_as_from_local_folders(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    checkpoint_recipe(paths)
    done = run_client("models", "pull", "made", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["installed"]
    wanted = tmp_path / "wanted.gguf"
    folders = hub.folders
    adapters = [open_adapter(folders["owner/adapter"])]
    merge(plan_conversion(folders["owner/base"], adapters, parse_outtype("Q8_0")), wanted)
    assert read_tensors(Path(result["path"])) == read_tensors(wanted)
    info = run_client("models", "info", "made").stdout
    assert f"at owner/adapter      {hub.commit('owner/adapter')}".split() == next(
        line.split() for line in info.splitlines() if line.startswith("at owner/adapter")
    )


def test_a_gguf_is_downloaded_once_whatever_breaks(
    hub: Hub, run_client: Run, paths: Paths, small_model: Path
) -> None:
    name = gguf_recipe(paths)
    hub.faults.drops, hub.faults.errors, hub.faults.retry_after = 3, [503, 429], "0"
    done = run_client("models", "pull", name)
    assert done.returncode == 0, done.stderr
    assert (hub.faults.drops, hub.faults.errors) == (0, [])
    file = paths.models_folder / "ready.gguf"
    assert sha256(file) == sha256(small_model)
    # Each connection that broke went on at the byte where it stopped; the head came for the plan.
    assert hub.sent < small_model.stat().st_size + 4_000_000
    info = json.loads(run_client("models", "info", name, "--json").stdout)
    assert info["pulled"]["sha256"] == sha256(small_model)
    assert info["pulled"]["commits"] == {"owner/ggufs": hub.commit("owner/ggufs")}
    before = hub.sent
    assert "already installed" in run_client("models", "pull", name).stderr
    assert hub.sent == before
    assert run_client("models", "remove", name).returncode == 0
    assert gguf_files(paths.models_folder) == []
    assert not any(paths.models_folder.glob("*.json"))


def test_a_download_is_private_and_follows_no_link(
    hub: Hub, run_client: Run, paths: Paths, small_model: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    paths.models_folder.mkdir(parents=True)
    partial = paths.models_folder / f"ready.gguf.{sha256(small_model)[:16]}.partial"
    partial.symlink_to(victim)
    done = run_client("models", "pull", gguf_recipe(paths))
    assert done.returncode == 0, done.stderr
    assert victim.read_text() == "mine"
    file = paths.models_folder / "ready.gguf"
    assert sha256(file) == sha256(small_model)
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_name_on_the_hub_needs_no_recipe(hub: Hub, run_client: Run, paths: Paths) -> None:
    done = run_client("models", "pull", "hf:owner/ggufs", "--json")
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)["name"]
    asked = run_client("ask", PARIS, "-m", name, "--regex", "Paris", "--json")
    answer = json.loads(asked.stdout)
    assert (answer["model"], answer["text"]) == (name, "Paris")
    assert run_client("models", "pull", "hf:owner/base", "--outtype", "q8_0").returncode == 0
    assert gguf_files(paths.models_folder) == ["base.gguf", "ggufs.gguf"]


def test_a_name_on_the_hub_can_choose_the_quantization(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    refused = run_client("models", "pull", "hf:owner/ggufs:Q4_K_M")
    assert (refused.returncode, GGUF in refused.stderr) == (1, True)
    unknown = run_client("models", "pull", "hf:owner/base:Q9")
    assert (unknown.returncode, "not to Q9" in unknown.stderr) == (1, True)
    for name in ("hf:owner/ggufs:f16", "hf:owner/base:Q8_0"):
        done = run_client("models", "pull", name)
        assert done.returncode == 0, done.stderr
    assert gguf_files(paths.models_folder) == ["base.gguf", "ggufs.gguf"]


def test_a_file_in_the_hubs_cache_is_linked(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    cached = hf_hub_download(
        "owner/ggufs", GGUF, endpoint=hub.url, cache_dir=tmp_path / "hf" / "hub"
    )
    before = hub.sent
    done = run_client("models", "pull", gguf_recipe(paths), "--json")
    assert done.returncode == 0, done.stderr
    assert hub.sent - before < 10_000
    assert Path(json.loads(done.stdout)["path"]).resolve() == Path(cached).resolve()
    # It can be pulled and planned without a network too, and is not this program's to delete.
    assert run_client("models", "remove", "ready").returncode == 0
    assert Path(cached).is_file()
    assert run_client("models", "pull", "ready", "--offline").returncode == 0
    hub.requests.clear()
    assert run_client("models", "plan", "hf:owner/ggufs", "--offline").returncode == 0
    assert hub.requests == []


def test_the_plan_predicts_what_the_pull_takes(
    hub: Hub, run_client: Run, paths: Paths, shallow_smollm2: Path, tmp_path: Path
) -> None:
    # With a real vocabulary, which makes the header long.
    repository = serve_gguf(hub, shallow_smollm2, tmp_path / "single")
    gguf_recipe(paths, repository=f"hf:{repository}", file=shallow_smollm2.name)
    checkpoint_recipe(paths, base="hf:owner/model", adapters=[], outtype="Q4_K_M")
    plans = {}
    for name in ("ready", "made"):
        hub.sent = 0
        plans[name] = json.loads(run_client("models", "plan", name, "--json").stdout)
        assert hub.sent < 10_000_000  # headers and a tokenizer
    assert gguf_files(paths.models_folder) == []
    size = shallow_smollm2.stat().st_size
    assert plans["ready"]["cost"] == {"disk": size, "download": size}
    weights = sum(f.stat().st_size for f in hub.folders["owner/model"].glob("*.safetensors"))
    assert plans["made"]["cost"]["download"] == weights
    checkpoint_recipe(paths, "merged")
    hub.requests.clear()
    with_adapter = json.loads(run_client("models", "plan", "merged", "--json").stdout)
    folders = (hub.folders["owner/base"], hub.folders["owner/adapter"])
    both = sum(f.stat().st_size for folder in folders for f in folder.glob("*.safetensors"))
    # A file that is no longer than a header comes whole, with the small ones.
    assert 0 < with_adapter["cost"]["download"] <= both
    for name, plan in plans.items():
        assert plan["fit"] == "fits"
        assert plan["measured"]["largest_context"] == {"ready": 8192, "made": 2048}[name]
        assert run_client("models", "pull", name).returncode == 0
        file = paths.models_folder / f"{name}.gguf"
        assert file.stat().st_size == plan["cost"]["disk"] == plan["bytes"]
        after = json.loads(run_client("models", "plan", name, "--json").stdout)
        assert after["cost"] == {"disk": 0, "download": 0}
        now, then = (state["measured"]["footprint"] for state in (after, plan))
        assert [now[key] for key in ("weights", "repacked", "kv", "compute")] == [
            then[key] for key in ("weights", "repacked", "kv", "compute")
        ]


# --- killed ---------------------------------------------------------------------------------------


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["a ready file", "a conversion"])
def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(
    kind: str, hub: Hub, spawn_client: Spawn, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    """Killed with a signal that it cannot catch; what arrived is not fetched again."""
    chosen = random.Random(kind)
    if kind == "a ready file":
        name, total = gguf_recipe(paths), (hub.folders["owner/ggufs"] / GGUF).stat().st_size
    else:
        name = checkpoint_recipe(paths, base="hf:owner/model", adapters=[], outtype="Q4_K_M")
        total = (hub.folders["owner/model"] / "model.safetensors").stat().st_size
    for _ in range(10):
        hub.stalled.clear()
        hub.faults.stall_after_bytes = hub.sent + chosen.randrange(total // 12)
        process = spawn_client("models", "pull", name)
        assert hub.stalled.wait(PATIENCE_S)
        process.kill()
        process.communicate()
        hub.faults.stall_after_bytes = None
        hub.go_on.set()
        hub.go_on.clear()
        assert gguf_files(paths.models_folder) == []
        assert run_client("ask", "Hi", "-m", name).returncode == 1
    done = run_client("models", "pull", name)
    assert done.returncode == 0, done.stderr
    file = paths.models_folder / f"{name}.gguf"
    if kind == "a ready file":
        assert sha256(file) == sha256(hub.folders["owner/ggufs"] / GGUF)
    else:
        wanted = tmp_path / "wanted.gguf"
        merge(plan_conversion(hub.folders["owner/model"], [], parse_outtype("Q4_K_M")), wanted)
        assert read_tensors(file) == read_tensors(wanted)


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_file_with_another_hash_becomes_no_model(hub: Hub, run_client: Run, paths: Paths) -> None:
    name = gguf_recipe(paths)
    hub.faults.damage = 3_000_000  # behind the head, which is read for the plan
    assert "the download was damaged" in failure_after_plan(run_client("models", "pull", name))
    assert gguf_files(paths.models_folder) == []
    assert run_client("models", "pull", name).returncode == 0


def failure_after_plan(done: subprocess.CompletedProcess[str]) -> str:
    """The error after the printed plan."""
    assert done.returncode == 1, done.stderr
    *earlier, last = done.stderr.splitlines()
    assert all("to download" in line for line in earlier), done.stderr
    return last


def test_a_file_replaced_during_the_pull_is_not_mixed(
    hub: Hub, spawn_client: Spawn, run_client: Run, paths: Paths, small_model: Path
) -> None:
    name = gguf_recipe(paths)
    hub.faults.stall_after_bytes = 5_000_000
    process = spawn_client("models", "pull", name)
    assert hub.stalled.wait(PATIENCE_S)
    process.kill()
    process.communicate()
    file = hub.folders["owner/ggufs"] / GGUF
    other = bytearray(small_model.read_bytes())
    other[-1000:] = bytes(1000)
    file.unlink()
    file.write_bytes(other)
    hub.faults.stall_after_bytes = None
    hub.go_on.set()
    assert run_client("models", "pull", name).returncode == 0
    assert (paths.models_folder / "ready.gguf").read_bytes() == other
    assert not any(paths.models_folder.glob("*partial*"))


def test_a_full_disk_leaves_no_half_file(hub: Hub, run_client: Run, paths: Paths) -> None:
    name = gguf_recipe(paths)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file cannot grow beyond this: what writing to a full disk is like.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
    try:
        done = run_client("models", "pull", name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in failure_after_plan(done)
    assert gguf_files(paths.models_folder) == []
    assert run_client("models", "pull", name).returncode == 0


def test_a_hub_that_fails_for_good_leaves_a_resumable_state(
    hub: Hub, run_client: Run, paths: Paths, small_model: Path
) -> None:
    name = gguf_recipe(paths)
    hub.faults.after_bytes, hub.faults.retry_after = 6_000_000, "0"
    errors = failure_after_plan(run_client("models", "pull", name))
    assert "run the same command again later" in errors
    assert gguf_files(paths.models_folder) == []
    hub.faults.after_bytes = None
    before = hub.sent
    assert run_client("models", "pull", name).returncode == 0
    assert hub.sent - before < small_model.stat().st_size - 2_000_000
    assert sha256(paths.models_folder / "ready.gguf") == sha256(small_model)


@pytest.mark.parametrize("kind", ["a ready file", "a conversion"])
def test_ctrl_c_ends_a_pull_at_once_and_it_resumes(
    kind: str, hub: Hub, spawn_client: Spawn, run_client: Run, paths: Paths
) -> None:
    if kind == "a ready file":
        name = gguf_recipe(paths)
    else:
        name = checkpoint_recipe(paths, base="hf:owner/model", adapters=[], outtype="Q4_K_M")
    hub.faults.stall_after_bytes = 6_000_000
    process = spawn_client("models", "pull", name)
    assert hub.stalled.wait(PATIENCE_S)
    wait_for(lambda: bytes_in(paths.models_folder) > 2_000_000)
    process.send_signal(signal.SIGINT)
    # A request would be given up after 30 seconds.
    _, errors = process.communicate(timeout=15)
    assert process.returncode == 130
    assert errors.endswith("interrupted; run the same command again to continue\n")
    assert gguf_files(paths.models_folder) == []
    hub.faults.stall_after_bytes = None
    hub.go_on.set()
    assert run_client("models", "pull", name).returncode == 0


def test_a_pull_ends_with_the_client_that_started_it(
    hub: Hub, spawn_pull: Spawn, paths: Paths
) -> None:
    hub.faults.stall_after_bytes = 4_000_000
    process = spawn_pull(gguf_recipe(paths), "en")
    assert hub.stalled.wait(PATIENCE_S)
    assert process.poll() is None
    # Closes its stdin. A request would be given up after 30 seconds.
    process.communicate(timeout=15)
    assert process.returncode == 0


def test_another_outtype_is_another_file_of_the_same_name(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    checkpoint_recipe(paths)
    assert run_client("models", "pull", "made").returncode == 0
    small = (paths.models_folder / "made.gguf").stat().st_size
    plan = json.loads(run_client("models", "plan", "made", "--outtype", "F16", "--json").stdout)
    assert plan["cost"]["disk"] > small
    assert run_client("models", "pull", "made", "--outtype", "f16").returncode == 0
    assert (paths.models_folder / "made.gguf").stat().st_size == plan["cost"]["disk"]
    assert "no outtype is called 'Q9'" in failure_line(
        run_client("models", "pull", "made", "--outtype", "Q9")
    )
    # Under another name it is another model, with all that its recipe says.
    assert run_client("models", "pull", "made", "--name", "mine").returncode == 0
    listed = json.loads(run_client("models", "list", "--json").stdout)["models"]
    assert {model["name"] for model in listed if model["installed"]} >= {"made", "mine"}


def test_a_name_of_another_model_is_refused(hub: Hub, run_client: Run, paths: Paths) -> None:
    checkpoint_recipe(paths, "ggufs")
    errors = failure_line(run_client("models", "pull", "hf:owner/ggufs"))
    assert "another model is called ggufs already" in errors
    assert run_client("models", "pull", "hf:owner/ggufs", "--name", "mine").returncode == 0
    assert gguf_files(paths.models_folder) == ["mine.gguf"]
    sent = hub.sent
    again = run_client("models", "pull", "hf:owner/ggufs", "--name", "mine")
    assert "already installed" in again.stderr
    assert hub.sent == sent


def test_a_token_goes_to_the_hub_and_to_no_other_host(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    checkpoint_recipe(paths, base="hf:owner/private", adapters=[])
    done = run_client("models", "pull", "made", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    seen = {
        (path.startswith("/cdn/"), headers.get("authorization"))
        for _, path, headers in hub.requests
    }
    assert seen == {(False, f"Bearer {TOKEN}"), (True, None)}


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ('repository = "hf:owner/ggufs"\nfile = "other.gguf"\n', "other.gguf"),
        ('repository = "hf:owner/nothing"\nfile = "a.gguf"\n', "no such repository, or a private"),
        ('base = "hf:owner/gated"\n', "accept its terms"),
        ('base = "hf:owner/private"\n', "no such repository, or a private"),
        ('base = "hf:owner/base@gone"\n', "no such revision"),
        ('base = "hf:owner/ggufs"\n', "no config.json"),
        ('repository = "hf:owner/ggufs"\nfile = "../../x"\n', "not inside its folder"),
        ('repository = "hf:../x"\nfile = "a.gguf"\n', "not a name on the hub"),
        ('base = "hf:owner/base"\noutype = "Q8_0"\n', "outype"),
        ('base = "hf:owner/base"\nouttype = "Q8"\n', "Q8"),
        ('file = "a.gguf"\nbase = "hf:owner/base"\n', "one of file, repository"),
        ('base = "hf:owner/base"\nnotice = "Research only."\n', "--accept-license"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    lines: str, wrong: str, hub: Hub, run_client: Run, paths: Paths
) -> None:
    recipe(paths, "bad", lines)
    done = run_client("models", "pull", "bad")
    assert done.returncode == 1
    assert wrong in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 + done.stderr.count("Research only.")
    assert gguf_files(paths.models_folder) == []


def test_without_a_network_it_says_so(run_client: Run, paths: Paths) -> None:
    gguf_recipe(paths)
    assert "the network is off" in failure_line(run_client("models", "pull", "ready", "--offline"))
    done = run_client("models", "pull", "ready", HF_HUB_OFFLINE="1")
    assert "the network is off" in failure_line(done)
    done = run_client("models", "pull", "ready", HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be reached" in failure_line(done)


def test_a_cache_that_cannot_be_written_says_so(
    hub: Hub, run_client: Run, paths: Paths, tmp_path: Path
) -> None:
    checkpoint_recipe(paths)
    file = tmp_path / "a file"
    file.touch()
    said = failure_line(run_client("models", "plan", "made", HF_HUB_CACHE=str(file)))
    assert "the hub's cache cannot be written" in said
    assert "HF_HOME names another folder" in said


def test_keeping_the_source_counts_it_and_an_installed_model_again(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    checkpoint_recipe(paths, adapters=[])
    weights = sum(f.stat().st_size for f in hub.folders["owner/base"].glob("*.safetensors"))
    assert run_client("models", "pull", "made").returncode == 0
    size = (paths.models_folder / "made.gguf").stat().st_size
    done = run_client("models", "pull", "made", "--keep-source")
    assert done.returncode == 0, done.stderr
    assert f"{size_text(weights)} to download" in done.stderr
    assert f"{size_text(size + weights)} on the disk" in done.stderr


def test_the_cost_of_an_adapter_is_shown_before_it_is_downloaded(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    folder = paths.recipes_folder / "adapters"
    folder.mkdir(parents=True)
    lines = 'adapter = "hf:owner/adapter"\nbase = "base"\nlicense = "plum-1.0"\n'
    (folder / "lora.toml").write_text(lines)
    checkpoint_recipe(paths, "base", adapters=[])
    assert "base, which is not downloaded yet" in run_client("models", "pull", "lora").stderr
    assert run_client("models", "pull", "base").returncode == 0
    plan = json.loads(run_client("models", "plan", "lora", "--json").stdout)
    assert plan["has_base"]
    assert plan["bytes"] > 0
    done = run_client("models", "pull", "lora")
    assert done.returncode == 0, done.stderr
    assert "to download" in done.stderr
    assert "licence: plum-1.0" in done.stderr
    stored = (paths.adapters_folder / "lora.gguf").stat().st_size
    assert plan["bytes"] <= stored < plan["bytes"] + 50_000
    assert "in memory beside" in run_client("models", "plan", "lora").stdout


def test_a_mirror_behind_a_proxy_is_reached_through_it(
    hub: Hub, run_client: Run, paths: Paths
) -> None:
    """No host has these names, so only the proxy can have answered."""
    checkpoint_recipe(paths)
    hub.cdn_url = "http://files.mirror.invalid"
    done = run_client(
        "models", "pull", "made", HF_ENDPOINT="http://mirror.invalid", http_proxy=hub.url
    )
    assert done.returncode == 0, done.stderr
    assert gguf_files(paths.models_folder) == ["made.gguf"]


def test_terms_are_shown_and_have_to_be_accepted(hub: Hub, run_client: Run, paths: Paths) -> None:
    checkpoint_recipe(paths, notice="For research only.")
    done = run_client("models", "pull", "made", "--accept-license")
    assert done.returncode == 0, done.stderr
    assert "For research only." in done.stderr
    assert "For research only." in run_client("models", "info", "made").stdout


def test_two_pulls_of_one_model_do_not_disturb_each_other(
    hub: Hub, spawn_client: Spawn, run_client: Run, paths: Paths
) -> None:
    name = gguf_recipe(paths)
    hub.faults.stall_after_bytes = 5_000_000
    first = spawn_client("models", "pull", name)
    assert hub.stalled.wait(PATIENCE_S)
    hub.faults.stall_after_bytes = None
    assert "is already pulling" in failure_after_plan(run_client("models", "pull", name))
    hub.go_on.set()
    first.communicate()
    assert first.returncode == 0
