"""Merging, converting and quantizing in one pass, beside llama-quantize alone::

    python benchmarks/convert.py

Random weights in the shape of TinyLlama-1.1B, in float16, with a LoRA of rank 8 on q and v. What
llama-quantize reads is an F16 GGUF of the same model, which the usual chain has to make first. Each
runs in a process of its own, in turn; its memory is what it held beyond mapped files, at the most.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_convert.checkpoint import expected_shapes
from baize_convert.model_config import read_config
from tests.convert.model_folders import stored, write_safetensors

PAIRS = 3
HIGHEST_RATIO, MOST_MEMORY_MB = 1.15, 500
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
QUANTIZE = """
import ctypes, sys
import llama_cpp.llama_cpp as lib
log = lib.llama_log_callback(lambda *_: None)
lib.llama_log_set(log, None)
params = lib.llama_model_quantize_default_params()
params.ftype = 15
sys.exit(lib.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(params)))
"""


def make_base(folder: Path) -> None:
    folder.mkdir()
    goldens = Path(__file__).resolve().parent.parent / "tests" / "convert" / "goldens" / "base"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((goldens / name).read_bytes())
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generator = np.random.default_rng(0)
    weight_map = {}
    for number, (name, shape) in enumerate(expected_shapes(read_config(folder)).items()):
        if name.endswith(".bias"):
            continue
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        shard = f"part-{number:04}.safetensors"
        write_safetensors(folder / shard, {name: ("F16", shape, stored(values, "F16"))})
        weight_map[name] = shard
    index = {"weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter(folder: Path) -> None:
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    generator = np.random.default_rng(1)
    tensors = {}
    for layer in range(22):
        for module, rows in (("q_proj", 2048), ("v_proj", 256)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, shape in (("lora_A", (8, 2048)), ("lora_B", (rows, 8))):
                values = generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
                tensors[f"{name}.{part}.weight"] = ("F32", shape, stored(values, "F32"))
    write_safetensors(folder / "adapter_model.safetensors", tensors)


def timed(*command: str) -> tuple[float, float]:
    """Seconds, and the most memory in MB that was not a mapped file."""
    most = 0
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("RssAnon"):
                    most = max(most, int(line.split()[1]))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - began
    watcher.join()
    assert code == 0, command
    return seconds, most / 1024


def main() -> int:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        base, adapter = Path(folder) / "base", Path(folder) / "adapter"
        make_base(base)
        make_adapter(adapter)
        convert = [sys.executable, "-m", "baize_convert", "merge", str(base)]
        f16, output = Path(folder) / "f16.gguf", Path(folder) / "out.gguf"
        subprocess.run(
            [*convert, "--outtype", "F16", "--output", str(f16)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        pairs = []
        for number in range(PAIRS + 1):
            ours = timed(
                *convert,
                *("--adapter", str(adapter), "--outtype", "Q4_K_M", "--output", str(output)),
            )
            theirs = timed(sys.executable, "-c", QUANTIZE, str(f16), str(output))
            if number:  # the first pair warms up
                pairs.append((ours, theirs))
    ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)
    ours_s = statistics.median(ours[0] for ours, _ in pairs)
    theirs_s = statistics.median(theirs[0] for _, theirs in pairs)
    memory = max(ours[1] for ours, _ in pairs)
    print(
        f"merge to Q4_K_M with the survival report {ours_s:.1f} s, llama-quantize alone "
        f"{theirs_s:.1f} s, ratio {ratio:.2f} (median of {PAIRS} pairs; at most {HIGHEST_RATIO})"
    )
    print(f"memory: {memory:.0f} MB (at most {MOST_MEMORY_MB})")
    return 0 if ratio <= HIGHEST_RATIO and memory <= MOST_MEMORY_MB else 1


if __name__ == "__main__":
    sys.exit(main())
