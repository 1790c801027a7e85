"""Merge, convert and quantize in one pass, compared with llama-quantize alone::

    python benchmarks/convert.py                # a random LLaMA of 1.1 billion parameters
    python benchmarks/convert.py 7b --pairs 1   # one of 7; needs 36 GB of disk
    python benchmarks/convert.py --busy         # with another process on one core
    python benchmarks/convert.py --chain PYTHON LLAMA_CPP

The weights are random float16 numbers, with a LoRA of rank 8 on q and v. llama-quantize reads an
F16 GGUF of the same model, which the usual chain of tools has to make first. Each command runs in
its own process, one after the other. Its memory is the peak, without mapped files. ``--folder``
keeps the models for the next run, and ``--no-plain`` skips the run without an adapter. On a shared
machine, ``--in-turns`` alternates the commands of a round every second.

``--chain`` runs the usual chain too: PEFT's merge by PYTHON (with torch, transformers and peft),
then LLAMA_CPP/convert_hf_to_gguf.py (in the source of llama-cpp-python: vendor/llama.cpp), then
llama-quantize.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_convert.sources.checkpoint import expected_shapes
from baize_convert.sources.model_config import read_config
from baize_shared.usable_cpus import usable_cpus
from baize_tui.bench.busy_core import busy_core
from baize_tui.bench.disturbance import measured_disturbance
from baize_tui.bench.machine import processor_name
from tests.convert.model_folders import CONVERT, to_bytes, write_safetensors

HIGHEST_RATIO, HIGHEST_WITH_LORA = 1.05, 1.10
TURN_S = 1.0
MOST_MEMORY_MB = {"1.1b": 500, "7b": 700}
SHAPES: dict[str, dict[str, Any]] = {
    "1.1b": {  # TinyLlama's
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "7b": {  # LLaMA's
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
}
PEFT_MERGE = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float16)
PeftModel.from_pretrained(base, sys.argv[2]).merge_and_unload().save_pretrained(sys.argv[3])
"""
MERGE = (sys.executable, "-m", "baize_convert", "merge")
QUANTIZE = """
import ctypes, sys
import llama_cpp.llama_cpp as lib
log = lib.llama_log_callback(lambda *_: None)
lib.llama_log_set(log, None)
params = lib.llama_model_quantize_default_params()
params.ftype = 15
sys.exit(lib.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(params)))
"""


def make_base(folder: Path, shape: dict[str, Any], per_shard: int = 1) -> None:
    """A checkpoint of random weights, ``per_shard`` tensors in a file."""
    folder.mkdir()
    goldens = Path(__file__).resolve().parent.parent / "tests" / "convert" / "goldens" / "base"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((goldens / name).read_bytes())
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000}
    (folder / "config.json").write_text(json.dumps({**config, **shape}))
    # Each tensor takes the same pool of numbers from another start: drawing all would take minutes.
    pool = np.random.default_rng(0).standard_normal(1 << 26, dtype=np.float32) * np.float32(0.02)
    weight_map = {}
    shapes = expected_shapes(read_config(folder))
    names = sorted(name for name in shapes if not name.endswith(".bias"))
    for number, first in enumerate(range(0, len(names), per_shard)):
        shard = f"part-{number:04}.safetensors"
        tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
        for name in names[first : first + per_shard]:
            count = int(np.prod(shapes[name]))
            values = np.resize(np.roll(pool, 104729 * (number + len(tensors))), count)
            tensors[name] = ("F16", shapes[name], to_bytes(values, "F16"))
            weight_map[name] = shard
        write_safetensors(folder / shard, tensors)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter(folder: Path, shape: dict[str, Any]) -> None:
    folder.mkdir()
    targets = ["q_proj", "v_proj"]
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "task_type": "CAUSAL_LM"}))
    generator = np.random.default_rng(1)
    hidden = shape["hidden_size"]
    values_rows = hidden // shape["num_attention_heads"] * shape["num_key_value_heads"]
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for module, rows in (("q_proj", hidden), ("v_proj", values_rows)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, size in (("lora_A", (8, hidden)), ("lora_B", (rows, 8))):
                values = generator.standard_normal(size, dtype=np.float32) * np.float32(0.02)
                tensors[f"{name}.{part}.weight"] = ("F32", size, to_bytes(values, "F32"))
    write_safetensors(folder / "adapter_model.safetensors", tensors)


class Cost(NamedTuple):
    """The time and memory of a command."""

    seconds: float
    megabytes: float
    """Peak memory, without mapped files."""


class Round(NamedTuple):
    """One run of each side: our pass with a LoRA and without, and llama-quantize alone."""

    with_lora: Cost
    plain: Cost | None
    alone: Cost


class Run:
    """A running command, with its time and memory. While it is stopped, no time counts."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._began: float | None = time.perf_counter()
        self._seconds = 0.0
        self._most_kb = 0
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def run_for(self, seconds: float | None = None) -> bool:
        """Let it run for ``seconds``, or to its end; return whether it still runs."""
        if self._began is None:
            self._process.send_signal(signal.SIGCONT)
            self._began = time.perf_counter()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)
        self._seconds += time.perf_counter() - self._began
        self._began = None
        return self._process.returncode is None

    def result(self) -> Cost:
        """Its cost; call this after its end."""
        self._watcher.join()
        assert self._process.returncode == 0, self._command
        return Cost(self._seconds, self._most_kb / 1024)

    def kill(self) -> None:
        """End it if it has not ended, even if it is stopped."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def _watch(self) -> None:
        status = Path(f"/proc/{self._process.pid}/status")
        while self._process.returncode is None:
            try:
                lines = status.read_text().splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("RssAnon"):
                    self._most_kb = max(self._most_kb, int(line.split()[1]))
            time.sleep(0.02)


def measure(*command: str) -> Cost:
    """Run ``command`` to its end."""
    run = Run(command)
    run.run_for()
    return run.result()


def measure_in_turns(commands: Sequence[Sequence[str]]) -> list[Cost]:
    """Alternate ``commands`` every second; the others are stopped meanwhile.

    So the load of other programs slows all of them alike.
    """
    runs: list[Run] = []
    try:
        for command in commands:
            runs.append(Run(command))
            runs[-1].run_for(TURN_S)
        waiting = runs
        while waiting:
            waiting = [run for run in waiting if run.run_for(TURN_S)]
    finally:
        for run in runs:
            run.kill()
    return [run.result() for run in runs]


def run_chain(
    python: str, llama_cpp: Path, base: Path, adapter: Path, folder: Path
) -> tuple[float, float, float]:
    """Seconds, memory in MB and intermediate bytes in GB of PEFT, converter and quantizer."""
    merged, f16 = folder / "merged", folder / "chain-f16.gguf"
    steps = [measure(python, "-c", PEFT_MERGE, str(base), str(adapter), str(merged))]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, merged)
    arguments = [str(llama_cpp), "own tokenizer", "f16", str(f16), str(merged)]
    steps.append(measure(python, "-c", CONVERT, *arguments))
    steps.append(measure(sys.executable, "-c", QUANTIZE, str(f16), str(folder / "chain.gguf")))
    intermediate_gb = sum(file.stat().st_size for file in [*merged.iterdir(), f16]) / 1e9
    shutil.rmtree(merged)
    f16.unlink()
    return sum(s for s, _ in steps), max(m for _, m in steps), intermediate_gb


@dataclass(frozen=True)
class Models:
    """The inputs of both sides, and the folder of their outputs."""

    base: Path
    adapter: Path
    f16: Path
    outputs: Path

    def merge(self, name: str, *, with_adapter: bool) -> tuple[str, ...]:
        """The command of our single pass."""
        adapter = ("--adapter", str(self.adapter)) if with_adapter else ()
        to = ("--outtype", "Q4_K_M", "--output", str(self.outputs / name))
        return (*MERGE, str(self.base), *adapter, *to)

    def quantize(self) -> tuple[str, ...]:
        """The command of llama-quantize alone."""
        return (sys.executable, "-c", QUANTIZE, str(self.f16), str(self.outputs / "q.gguf"))


@contextmanager
def prepared_models(folder: Path | None, size: str) -> Iterator[Models]:
    """Models of this size: kept in ``folder`` for later runs, or for this run only."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        models_folder = Path(name) if folder is None else folder / size
        models = Models(
            models_folder / "base",
            models_folder / "adapter",
            models_folder / "f16.gguf",
            Path(name),
        )
        if not models.f16.exists():
            models_folder.mkdir(parents=True, exist_ok=True)
            make_base(models.base, SHAPES[size])
            make_adapter(models.adapter, SHAPES[size])
            to = ("--outtype", "F16", "--output", str(models.f16))
            subprocess.run([*MERGE, str(models.base), *to], check=True, stdout=subprocess.DEVNULL)
        yield models


def run_rounds(models: Models, pairs: int, *, plain: bool, in_turns: bool) -> list[Round]:
    """Run each side in turn. With several rounds, a first one warms up and does not count."""
    rounds = []
    commands = [models.merge("merged.gguf", with_adapter=True), models.quantize()]
    if plain:
        commands.append(models.merge("plain.gguf", with_adapter=False))
    for number in range(pairs + (pairs > 1)):
        with measured_disturbance() as disturbance:
            if in_turns:
                costs = measure_in_turns(commands)
            else:
                costs = [measure(*command) for command in commands]
        current = Round(costs[0], costs[2] if plain else None, costs[1])
        if number or pairs == 1:
            rounds.append(current)
            ours, theirs = current.with_lora.seconds, current.alone.seconds
            print(
                f"{ours:.1f} s with a LoRA, llama-quantize {theirs:.1f} s: {ours / theirs:.3f} "
                f"(other processes used {disturbance.share:.0%} of the cores)",
                flush=True,
            )
    return rounds


def main(
    size: Annotated[str, typer.Argument(help="1.1b or 7b")] = "1.1b",
    pairs: int = 3,
    busy: Annotated[bool, typer.Option("--busy", help="Keep one core busy.")] = False,
    in_turns: Annotated[bool, typer.Option("--in-turns", help="Alternate every second.")] = False,
    plain: Annotated[bool, typer.Option(help="Also run without an adapter.")] = True,
    folder: Annotated[Path | None, typer.Option(help="Keep the models here.")] = None,
    chain: Annotated[tuple[str, Path] | None, typer.Option()] = None,
) -> None:
    print(f"{processor_name()}; {usable_cpus()} cores, {'one busy' if busy else 'idle'}")
    with prepared_models(folder, size) as models:
        with busy_core() if busy else nullcontext():
            rounds = run_rounds(models, pairs, plain=plain, in_turns=in_turns)
        missed = report(size, rounds)
        if chain is not None:
            if folder is None:
                models.f16.unlink()  # the chain needs the disk space
            seconds, memory, intermediate_gb = run_chain(
                *chain, models.base, models.adapter, models.outputs
            )
            ours = statistics.median(round.with_lora.seconds for round in rounds)
            print(
                f"the chain PEFT, converter, llama-quantize: {seconds:.1f} s, {memory:.0f} MB, "
                f"{intermediate_gb:.1f} GB between; one pass takes {ours / seconds:.2f} of its time"
            )
    sys.exit(1 if missed else 0)


def report(size: str, rounds: Sequence[Round]) -> bool:
    """Print the figures; return whether one misses its limit."""
    alone_s = statistics.median(round.alone.seconds for round in rounds)
    alone_mb = max(round.alone.megabytes for round in rounds)
    print(f"{size} to Q4_K_M; llama-quantize alone {alone_s:.1f} s, {alone_mb:.0f} MB")
    with_lora = [(round.with_lora, round.alone) for round in rounds]
    plain = [(round.plain, round.alone) for round in rounds if round.plain is not None]
    missed = False
    for label, both, limit in (
        ("with a LoRA, loss measured", with_lora, HIGHEST_WITH_LORA),
        ("without an adapter", plain, HIGHEST_RATIO),
    ):
        if not both:
            continue
        seconds = statistics.median(ours.seconds for ours, _ in both)
        ratio = statistics.median(ours.seconds / alone.seconds for ours, alone in both)
        memory = max(ours.megabytes for ours, _ in both)
        print(
            f"{label}: {seconds:.1f} s, ratio {ratio:.2f} (median of {len(both)}; at most "
            f"{limit}), {memory:.0f} MB (at most {MOST_MEMORY_MB[size]})"
        )
        missed = missed or ratio > limit or memory > MOST_MEMORY_MB[size]
    return missed


if __name__ == "__main__":
    typer.run(main)
