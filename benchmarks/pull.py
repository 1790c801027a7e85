"""Pull a checkpoint from a stand-in for the hub on this machine, quantizing while it downloads::

    python benchmarks/pull.py                # a random LLaMA of 1.1 billion parameters
    python benchmarks/pull.py 7b --pairs 1   # one of 7; needs 18 GB of disk

It prints the time compared with converting the same checkpoint from local files, the peak disk
space and memory of a pull by the client, and the bytes that a pull that is killed five times
downloads again. The shards have as many tensors as those on the hub.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_convert.budget import choose_budget
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from benchmarks.convert import MERGE, SHAPES, make_base, measure
from tests.hub.stand_in import Hub, serve

HIGHEST_RATIO, HIGHEST_DISK, MOST_MEMORY_MB, KILLS = 1.15, 1.05, 700, 5


def bytes_in(folder: Path) -> int:
    """The disk space of the files in ``folder``."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.lstat().st_blocks * 512
        except FileNotFoundError:  # renamed meanwhile
            continue
    return total


def pull_command() -> list[str]:
    return [sys.executable, "-m", "baize_tui", "models", "pull", "bench"]


def peak_usage(command: list[str], folder: Path) -> tuple[float, int]:
    """Peak memory in MB, and peak disk space in bytes of ``folder``, while ``command`` runs."""
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.05):
            most = max(most, bytes_in(folder))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, memory = measure(*command)
    finally:
        ended.set()
        watcher.join()
    return memory, most


def bytes_sent_with_kills(hub: Hub, weights: int) -> int:
    """Bytes that the hub sends for a pull that is killed ``KILLS`` times."""
    hub.sent = 0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for part in range(1, KILLS + 1):
        hub.stalled.clear()
        hub.faults.stall_after_bytes = part * weights // (KILLS + 1)
        process = subprocess.Popen(pull_command(), **quiet)  # type: ignore[call-overload]
        hub.stalled.wait()
        process.kill()
        process.wait()
        hub.faults.stall_after_bytes = None
        hub.go_on.set()
        hub.go_on.clear()
    subprocess.run(pull_command(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return hub.sent


def main(size: Annotated[str, typer.Argument(help="1.1b or 7b")] = "1.1b", pairs: int = 3) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name)
        base, output, home = folder / "base", folder / "out.gguf", folder / "home"
        make_base(base, SHAPES[size], per_shard=70 if size == "1.1b" else 100)
        weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
        with serve({"owner/model": base}) as hub:
            os.environ |= {
                "HF_ENDPOINT": hub.url,
                "HF_HOME": str(home / "hub"),
                "BAIZE_HOME": str(home),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "no_proxy": "*",
            }
            recipes = home / "config" / "models"
            recipes.mkdir(parents=True)
            (recipes / "bench.toml").write_text('base = "hf:owner/model"\n')
            missed = compare(base, output, pairs)
            missed |= costs(hub, home, weights, base)
    sys.exit(1 if missed else 0)


def compare(base: Path, output: Path, pairs: int) -> bool:
    """Compare the hub with local files, in turn; return whether the ratio misses its limit."""
    to = ("--outtype", "Q4_K_M", "--output", str(output))
    rounds = []
    for number in range(pairs + 1):
        local, _ = measure(*MERGE, str(base), *to)
        remote, _ = measure(*MERGE, "hf:owner/model", *to)
        if number or pairs == 1:  # the first round warms up
            rounds.append((remote, local))
        if pairs == 1:
            break
    output.unlink()
    ratio = statistics.median(remote / local for remote, local in rounds)
    seconds = statistics.median(remote for remote, _ in rounds)
    print(
        f"from the hub {seconds:.1f} s, over local files {ratio:.2f} (median of {len(rounds)}; at "
        f"most {HIGHEST_RATIO})"
    )
    return ratio > HIGHEST_RATIO


def costs(hub: Hub, home: Path, weights: int, base: Path) -> bool:
    """Print disk, memory and repeated downloads; return whether one misses its limit."""
    models = home / "data" / "models"
    before = bytes_in(home)
    memory, most = peak_usage(pull_command(), home)
    written = (models / "bench.gguf").stat().st_size
    disk = (most - before) / written
    print(f"highest disk use: {disk:.3f} of the output (at most {HIGHEST_DISK})")
    print(f"highest memory use: {memory:.0f} MB (at most {MOST_MEMORY_MB})")
    shutil.rmtree(models)
    plan = plan_conversion(base, [], parse_outtype("Q4_K_M"))
    budget = choose_budget(plan.layout)
    # A slab is half as large in the file as in float32; two per thread are fetched ahead.
    slab = budget.slab_bytes // 2
    allowed = (1 + 2 * budget.workers) * slab
    again = (bytes_sent_with_kills(hub, weights) - weights) / KILLS
    print(
        f"killed {KILLS} times: {again / 1e6:.1f} MB downloaded again per kill, heads included (a "
        f"slab and its window: {allowed / 1e6:.1f} MB)"
    )
    return disk > HIGHEST_DISK or memory > MOST_MEMORY_MB or again > allowed


if __name__ == "__main__":
    typer.run(main)
