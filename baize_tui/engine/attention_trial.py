"""Measure both ways to compute attention on this machine's processor, in under a second.

A process of its own (``python -m baize_tui.engine.attention_trial``), because llama.cpp may crash.
It makes a model of two layers with random weights in which attention takes most of the time, fills
a cache with each way, and prints a ``TrialResult`` as JSON. At the end of its stdin it removes the
model and ends: its client has quit.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from gguf import GGUFWriter, TokenType

from baize_tui.engine.attention import BATCH, AttentionTimes, TrialResult
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.model import Model
from baize_tui.engine.profiles import MachineProfile
from baize_tui.engine.threads.cores import most_threads

_LAYERS, _HEADS, _KV_HEADS, _HEAD_SIZE, _FEED_FORWARD = 2, 16, 4, 64, 64
_BYTES = 256
_DEPTH, _QUESTION = 1024, 32
_ROUNDS = {1: 12, _QUESTION: 5, BATCH: 3}
"""How often each number of tokens is timed; the fastest time counts, as others are disturbed."""
_MOST_S = 2.0
"""After this, as on a busy machine, each number of tokens is timed only once."""


def main() -> None:
    """Print the result."""
    with tempfile.TemporaryDirectory(prefix="baize-attention-") as folder:
        threading.Thread(target=_end_with_client, args=(folder,), daemon=True).start()
        file = Path(folder) / "model.gguf"
        write_trial_model(file)
        result = measure_attention(file)
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


def _end_with_client(folder: str) -> None:
    while os.read(0, 1024):  # not through sys.stdin: at exit, Python waits for its lock
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def write_trial_model(file: Path) -> None:
    """Write the model; its vocabulary is the 256 bytes."""
    random = np.random.default_rng(0)
    hidden = _HEADS * _HEAD_SIZE
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(_LAYERS)
    writer.add_context_length(2 * _DEPTH)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(_BYTES))]
    special = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([*special, *[TokenType.BYTE] * _BYTES])

    def add(name: str, rows: int, columns: int) -> None:
        values = random.standard_normal((rows, columns), np.float32) * np.float32(0.05)
        writer.add_tensor(f"{name}.weight", values.astype(np.float16))

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(hidden, np.float32))

    add("token_embd", len(tokens), hidden)
    add_norm("output_norm")
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        add_norm(f"{block}.attn_norm")
        add_norm(f"{block}.ffn_norm")
        add(f"{block}.attn_q", hidden, hidden)
        add(f"{block}.attn_k", _KV_HEADS * _HEAD_SIZE, hidden)
        add(f"{block}.attn_v", _KV_HEADS * _HEAD_SIZE, hidden)
        add(f"{block}.attn_output", hidden, hidden)
        add(f"{block}.ffn_gate", _FEED_FORWARD, hidden)
        add(f"{block}.ffn_up", _FEED_FORWARD, hidden)
        add(f"{block}.ffn_down", hidden, _FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure_attention(file: Path) -> TrialResult:
    """Time both ways in turn, so that other programs disturb both alike.

    Raises:
        EngineError: llama.cpp cannot run the model.
    """
    model = Model(str(file), profile=MachineProfile("full", gpu=False))
    ids = np.random.default_rng(1).integers(3, 3 + _BYTES, _DEPTH).tolist()
    contexts = [_filled_context(model, ids, flash=flash) for flash in (True, False)]
    fastest: list[dict[int, float]] = [{}, {}]
    end = time.perf_counter() + _MOST_S
    for tokens, rounds in _ROUNDS.items():
        for number in range(rounds):
            if number and time.perf_counter() > end:
                break
            for context, times in zip(contexts, fastest, strict=True):
                # A batch of a long prompt has half as much before it.
                depth = _DEPTH - BATCH if tokens == BATCH else _DEPTH
                context.truncate(depth)
                began = time.perf_counter()
                context.decode(ids[:tokens], depth, logits=True)
                times[tokens] = min(times.get(tokens, 1e9), time.perf_counter() - began)
    for context in contexts:
        context.close()
    model.close()
    flash, plain = (AttentionTimes(t[1], t[_QUESTION], t[BATCH]) for t in fastest)
    return TrialResult(flash, plain)


def _filled_context(model: Model, ids: Sequence[int], *, flash: bool) -> Context:
    context = Context(
        model,
        n_ctx=2 * _DEPTH,
        n_batch=BATCH,
        threads=most_threads(),
        threads_batch=most_threads(),
        abort=AbortFlag(),
        flash_attention=flash,
        outputs=1,
    )
    for at in range(0, len(ids), BATCH):
        context.decode(ids[at : at + BATCH], at, logits=False)
    return context


if __name__ == "__main__":
    main()
