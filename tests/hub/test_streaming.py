"""Converting from the hub: ``baize-convert`` as a process, against a stand-in on this machine."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.conftest import PATIENCE_S
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_keys, read_tensors
from tests.convert.quantized_folders import quantized_folder
from tests.convert.untidy_folders import no_index, rename_tensors, shard, tidy_folder
from tests.hub.conftest import TOKEN, Run, Spawn
from tests.hub.stand_in import Hub
from tests.sweeps import swept

COST = "MB to download; licence: not stated"


def start_stalled_merge(
    spawn: Spawn, hub: Hub, after: int, *arguments: object
) -> subprocess.Popen[str]:
    """Start a merge that waits for bytes, as the hub sends none after ``after`` bytes."""
    hub.stalled.clear()
    hub.faults.stall_after_bytes = after
    process = spawn("merge", "hf:owner/model", *arguments)
    assert hub.stalled.wait(PATIENCE_S)
    return process


def convert_locally(base: Path, output: Path, *adapters: Path) -> Path:
    opened = [open_adapter(adapter) for adapter in adapters]
    merge(plan_conversion(base, opened, parse_outtype("Q4_K_M")), output)
    return output


def one_line(errors: str) -> str:
    """The only message on stderr, besides the costs of downloads."""
    (line,) = [line for line in errors.splitlines() if not line.endswith(COST)]
    return line.removeprefix("baize-convert: ")


def large_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.stat().st_size > 1 << 16]


def test_a_model_is_converted_without_its_weights_on_the_disk(
    hub: Hub, run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    done = run("merge", "hf:owner/model", "--outtype", "Q4_K_M", "-o", output)
    assert done.returncode == 0, done.stderr
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)
    assert read_keys(output) == read_keys(wanted)
    assert large_files(tmp_path / "hf") == []
    # Every byte once: the header of the shard, and each tensor.
    weights = (hub.folders["owner/model"] / "model.safetensors").stat().st_size
    assert hub.sent < weights * 1.05 + 1_000_000


@pytest.mark.parametrize("kind", ["float8, blocks of 128", "packed int4, zero points"])
def test_a_quantized_model_is_read_once(kind: str, hub: Hub, run: Run, tmp_path: Path) -> None:
    """Codes are read ahead by rows, each scale once, and the hash of all bytes is checked."""
    folder = hub.folders["owner/quantized"] = quantized_folder(tmp_path / "quantized", kind)
    shard(folder, 2)
    output = tmp_path / "out.gguf"
    done = run("merge", "hf:owner/quantized", "--outtype", "Q4_K_M", "-o", output)
    assert done.returncode == 0, done.stderr
    assert "tensors are quantized already" in done.stderr
    assert read_tensors(output) == read_tensors(convert_locally(folder, tmp_path / "wanted.gguf"))
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert hub.sent < weights * 1.05 + 1_000_000


def test_shards_without_an_index_on_the_hub(hub: Hub, run: Run, tmp_path: Path) -> None:
    """As uploads of merged models have left them."""
    folder = hub.folders["owner/untidy"] = tidy_folder(tmp_path / "untidy")
    wanted = read_tensors(convert_locally(folder, tmp_path / "wanted.gguf"))
    rename_tensors(folder, lambda name: f"_orig_mod.{name}")
    no_index(folder)
    output = tmp_path / "out.gguf"
    for option in ((), ("--keep-source",)):
        done = run("merge", "hf:owner/untidy", "--outtype", "Q4_K_M", "-o", output, *option)
        assert done.returncode == 0, done.stderr
        assert "has no index: model-*-of-00003.safetensors (3 files) count" in done.stderr
        assert read_tensors(output) == wanted


def test_base_and_adapter_from_the_hub(hub: Hub, run: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    names = ("hf:owner/base", "--adapter", "hf:owner/adapter")
    done = run("merge", *names, "--outtype", "Q4_K_M", "-o", output, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["survival"]
    wanted = convert_locally(BASE, tmp_path / "wanted.gguf", FOLDER / "plain")
    assert read_tensors(output) == read_tensors(wanted)


@pytest.mark.parametrize("errors", [[500, 502, 503], [429, 429]], ids=["5xx", "too many requests"])
def test_temporary_errors_are_retried(
    errors: list[int], hub: Hub, run: Run, tmp_path: Path
) -> None:
    hub.faults.errors = list(errors)
    hub.faults.drops = 2
    hub.faults.retry_after = "0"
    output = tmp_path / "out.gguf"
    done = run("merge", "hf:owner/model", "--outtype", "Q4_K_M", "-o", output)
    assert done.returncode == 0, done.stderr
    assert hub.faults.errors == []
    assert hub.faults.drops == 0
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)


def test_a_token_goes_to_the_hub_and_to_no_other_host(hub: Hub, run: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    done = run("merge", "hf:owner/private", "-o", output, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    seen = {
        (path.startswith("/cdn/"), headers.get("authorization"))
        for _, path, headers in hub.requests
    }
    assert seen == {(False, f"Bearer {TOKEN}"), (True, None)}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("hf:owner/nothing", "no such repository, or a private one"),
        ("hf:owner/private", "no such repository, or a private one"),
        ("hf:owner/gated", "accept its terms"),
        ("hf:owner/model@other", "no such revision"),
        ("hf:../../etc", "not a name on the hub"),
        ("hf:owner", "not a name on the hub"),
    ],
)
def test_an_unavailable_model_is_one_line(name: str, wrong: str, run: Run, tmp_path: Path) -> None:
    done = run("plan", name)
    assert done.returncode == 1
    assert wrong in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_network_it_says_so(run: Run) -> None:
    done = run("plan", "hf:owner/model", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "the network is off" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run("plan", "hf:owner/model", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sources"),
    [
        (("merge", "hf:owner/model"), ["hf:owner/model"]),
        (("merge", "hf:owner/model", "--keep-source"), ["hf:owner/model"]),
        (
            ("merge", "hf:owner/base", "--adapter", "hf:owner/adapter"),
            ["hf:owner/base", "hf:owner/adapter"],
        ),
        (("adapter", "hf:owner/adapter", "--base", "hf:owner/base"), ["hf:owner/adapter"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_the_cost_is_shown_before_weights_are_downloaded(
    arguments: tuple[str, ...], sources: list[str], hub: Hub, run: Run, tmp_path: Path
) -> None:
    for source in sources:
        folder = hub.folders[source.removeprefix("hf:")]
        with_card = shutil.copytree(folder, tmp_path / "cards" / source[9:])
        (with_card / "README.md").write_text("---\nlicense: plum-1.0\n---\n")
        hub.folders[source.removeprefix("hf:")] = with_card
    output = tmp_path / "out.gguf"
    output.mkdir()  # nothing can be written there, which shows before a download
    refused = run(*arguments, "-o", output)
    assert refused.returncode == 1
    assert large_files(tmp_path / "hf") == []
    output.rmdir()
    done = run(*arguments, "-o", output)
    assert done.returncode == 0, done.stderr
    costs = [line for line in done.stderr.splitlines() if " to download; licence: plum-1.0" in line]
    assert [line.split(": ")[1] for line in costs] == sources


def test_a_plan_says_what_is_to_be_downloaded(hub: Hub, run: Run, tmp_path: Path) -> None:
    names = ("hf:owner/base", "--adapter", "hf:owner/adapter")
    shown = run("plan", *names)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("MB to download; licence: not stated") == 2
    planned = json.loads(run("plan", *names, "--json").stdout)
    size = (BASE / "model.safetensors").stat().st_size
    assert planned["downloads"][0] == {"source": "hf:owner/base", "bytes": size, "license": ""}
    assert [one["source"] for one in planned["downloads"]] == ["hf:owner/base", "hf:owner/adapter"]


def test_a_hub_that_fails_for_good_leaves_a_resumable_state(
    hub: Hub, run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    arguments = ("merge", "hf:owner/model", "--outtype", "Q4_K_M", "-o", output)
    hub.faults.after_bytes = 2_000_000
    done = run(*arguments)
    assert done.returncode == 1
    assert "run the same command again later" in done.stderr
    assert one_line(done.stderr)
    assert not output.exists()
    hub.faults.after_bytes = None
    before = hub.sent
    assert run(*arguments).returncode == 0
    assert hub.sent - before < (hub.folders["owner/model"] / "model.safetensors").stat().st_size
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)


def test_ctrl_c_ends_at_once_even_where_the_hub_stalls(
    hub: Hub, run: Run, tmp_path: Path, spawn: Spawn
) -> None:
    output = tmp_path / "out.gguf"
    process = start_stalled_merge(spawn, hub, 2_000_000, "-o", output)
    process.send_signal(signal.SIGINT)
    # A request would be given up after 30 seconds.
    assert process.wait(15) == 130
    errors = process.stderr.read() if process.stderr is not None else ""
    assert one_line(errors) == "interrupted; run the same command again to continue"
    hub.go_on.set()
    hub.faults.stall_after_bytes = None
    assert run("merge", "hf:owner/model", "-o", output).returncode == 0
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)


@pytest.mark.parametrize("times", swept([2, 5], 2))
def test_a_killed_merge_resumes_and_reads_little_again(
    times: int, hub: Hub, run: Run, spawn: Spawn, tmp_path: Path
) -> None:
    """Killed with a signal that it cannot catch; written rows are not fetched again."""
    output = tmp_path / "out.gguf"
    # As little memory as it takes: slabs of a quarter megabyte, and two of them on their way.
    arguments = ("-o", output, "--max-ram", "62M")
    weights = (hub.folders["owner/model"] / "model.safetensors").stat().st_size
    for part in range(1, times + 1):
        process = start_stalled_merge(spawn, hub, part * weights // (times + 1), *arguments)
        process.kill()
        process.communicate()
        hub.faults.stall_after_bytes = None
        hub.go_on.set()
        hub.go_on.clear()
        assert not output.exists()
    done = run("merge", "hf:owner/model", *arguments)
    assert done.returncode == 0, done.stderr
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)
    assert hub.sent < weights + times * 1_000_000 + 300_000


def test_weights_damaged_in_transit_are_not_converted(hub: Hub, run: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    hub.faults.damage = 1_000_000  # the head of the file has come
    done = run("merge", "hf:owner/model", "-o", output)
    assert done.returncode == 1
    assert "the download was damaged" in done.stderr
    assert one_line(done.stderr)
    assert list(tmp_path.glob("out.gguf*")) == []
    assert run("merge", "hf:owner/model", "-o", output).returncode == 0


def test_kept_weights_are_in_the_hubs_own_cache_and_are_not_fetched_again(
    hub: Hub, run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    hub.faults.drops = 3
    done = run("merge", "hf:owner/model", "--keep-source", "-o", output)
    assert done.returncode == 0, done.stderr
    file = hub.folders["owner/model"] / "model.safetensors"
    assert hub.sent < file.stat().st_size + 100_000  # a body that was cut off went on
    kept = try_to_load_from_cache("owner/model", file.name, cache_dir=tmp_path / "hf" / "hub")
    assert isinstance(kept, str)
    assert Path(kept).read_bytes() == file.read_bytes()
    wanted = convert_locally(hub.folders["owner/model"], tmp_path / "wanted.gguf")
    assert read_tensors(output) == read_tensors(wanted)
    for again in ({}, {"HF_HUB_OFFLINE": "1"}):
        before = hub.sent
        done = run("merge", "hf:owner/model", "-o", output, **again)
        assert done.returncode == 0, done.stderr
        assert hub.sent == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hf:owner/model", "--outtype", "Q9"), "no outtype is called 'Q9'"),
        (("hf:owner/model", "--adapter", "nowhere"), "nowhere: no such folder"),
        (("hf:owner/adapter",), "hf:owner/adapter is an adapter: give it with --adapter"),
    ],
)
def test_nothing_is_kept_of_what_cannot_be_converted(
    arguments: tuple[str, ...], message: str, hub: Hub, run: Run, tmp_path: Path
) -> None:
    done = run("merge", *arguments, "--keep-source", "-o", tmp_path / "out.gguf")
    assert done.returncode == 1
    assert message in done.stderr
    assert one_line(done.stderr)
    assert large_files(tmp_path / "hf") == []


def test_a_full_disk_keeps_what_has_arrived(hub: Hub, run: Run, tmp_path: Path) -> None:
    arguments = ("merge", "hf:owner/model", "--keep-source", "-o", tmp_path / "out.gguf")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file cannot grow beyond this: what writing to a full disk is like.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
    try:
        done = run(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert one_line(done.stderr)
    sent = hub.sent
    assert run(*arguments).returncode == 0
    weights = (hub.folders["owner/model"] / "model.safetensors").stat().st_size
    assert hub.sent - sent <= weights - 4_900_000


def test_a_download_with_another_hash_is_not_kept(hub: Hub, run: Run, tmp_path: Path) -> None:
    hub.faults.damage = 1_000_000  # not in the header, which is read before the download
    arguments = ("merge", "hf:owner/model", "--keep-source", "-o", tmp_path / "out.gguf")
    done = run(*arguments)
    assert done.returncode == 1
    assert "the download was damaged" in done.stderr
    assert one_line(done.stderr)
    assert large_files(tmp_path / "hf") == []
    assert run(*arguments).returncode == 0


@pytest.mark.parametrize("length", ["the same", "another"])
def test_a_file_replaced_during_the_merge_is_never_mixed(
    length: str, hub: Hub, spawn: Spawn, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    process = start_stalled_merge(spawn, hub, 2_000_000, "-o", output, "--max-ram", "62M")
    file = hub.folders["owner/model"] / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1000:] = bytes(1000 if length == "the same" else 2000)
    file.write_bytes(raw)
    hub.faults.stall_after_bytes = None
    hub.go_on.set()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "replaced" in one_line(errors)
    assert not output.exists()


def test_an_adapter_in_a_folder_of_a_repository(hub: Hub, run: Run, tmp_path: Path) -> None:
    """Named, with a revision, and as the only one that the repository has."""
    one, many = tmp_path / "one", tmp_path / "many"
    for folder in (one / "checkpoint-500", many / "a", many / "b"):
        shutil.copytree(hub.folders["owner/adapter"], folder)
    hub.folders |= {"owner/one": one, "owner/many": many}
    wanted = read_tensors(
        convert_locally(BASE, tmp_path / "wanted.gguf", hub.folders["owner/adapter"])
    )
    output = tmp_path / "out.gguf"
    for name in ("owner/one", "owner/one/checkpoint-500", "owner/many/b@main"):
        command = ("merge", BASE, "--adapter", f"hf:{name}", "-o", output)
        done = run(*command)
        assert done.returncode == 0, done.stderr
        assert ("in its folder checkpoint-500 is used" in done.stderr) == (name == "owner/one")
        assert read_tensors(output) == wanted
        output.unlink()
    done = run("plan", BASE, "--adapter", "hf:owner/many")
    assert done.returncode == 1
    assert "hf:owner/many has 2 adapters (a, b)" in done.stderr
    done = run("plan", BASE, "--adapter", "hf:owner/many/c")
    assert "hf:owner/many/c has no adapter_config.json" in done.stderr
    settings = json.loads((many / "a" / "adapter_config.json").read_text())
    (many / "a" / "adapter_config.json").write_text(json.dumps({**settings, "peft_type": "IA3"}))
    done = run("plan", BASE, "--adapter", "hf:owner/many/a")
    assert "baize-convert: hf:owner/many/a/adapter_config.json: peft_type IA3" in done.stderr
