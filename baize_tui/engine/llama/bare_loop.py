"""llama.cpp alone: its decode function in a loop, to compare the engine with.

It does the work of ``test_prompt`` and ``test_gen`` of llama.cpp's ``llama-bench``, with the
defaults of llama.cpp: no sampling, no text, and a fixed number of threads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama import thread_pools
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.llama.log import forget_errors, reason_from_log
from baize_tui.engine.llama.machine import cpu_function
from baize_tui.engine.llama.model import Model

_FACTOR, _FIRST_ID = 7919, 100
"""Ids far apart, as in a text."""


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """What reading and writing took, in seconds."""

    read_s: float
    written: int
    """Tokens; fewer than wanted where the time was up."""
    write_s: float


def time_loop(
    model: Model,
    abort: AbortFlag,
    *,
    threads: int,
    read: int,
    written: int,
    most_s: float,
    flash_attention: bool = True,
) -> LoopTimes:
    """Read a prompt of ``read`` tokens and write ``written`` tokens after it, in a new context.

    Writing ends after ``most_s`` seconds. ``flash_attention`` allows it, where llama.cpp chooses
    it.

    Raises:
        Aborted: the abort flag is set.
        EngineError: there is too little memory, or llama.cpp failed.
    """
    params = lib.llama_context_default_params()
    params.n_ctx = read + written
    params.n_threads = params.n_threads_batch = threads
    params.n_outputs_max = 1  # logits of the last token, and memory for no more
    params.abort_callback = abort.callback
    params.abort_callback_data = abort.address
    params.no_perf = True
    if not flash_attention:
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    forget_errors()
    context = lib.llama_init_from_model(model.handle, params)
    if not context:
        reason = reason_from_log("too little memory for the KV cache")
        raise EngineError(f"no context of {read + written} tokens: {reason}")
    pools = thread_pools.open_pools(context, cpu_function)
    try:
        if pools is not None:
            pools.resize(threads, threads)
        return _time(context, model.vocabulary.size, read, written, most_s)
    finally:
        lib.llama_free(context)
        if pools is not None:
            pools.close()


def _time(context: int, n_vocab: int, read: int, written: int, most_s: float) -> LoopTimes:
    ids = [(_FACTOR * number + _FIRST_ID) % n_vocab for number in range(read + written)]
    _decode(context, ids[:1])  # the first call is slower
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    batch = int(lib.llama_n_batch(context))
    began = time.perf_counter()
    for start in range(0, read, batch):
        _decode(context, ids[start : min(start + batch, read)])
    done = 0
    write_began = time.perf_counter()
    while done < written and (not done or time.perf_counter() - write_began < most_s):
        _decode(context, ids[read + done : read + done + 1])
        done += 1
    return LoopTimes(write_began - began, done, time.perf_counter() - write_began)


def _decode(context: int, ids: list[int]) -> None:
    tokens = (lib.llama_token * len(ids))(*ids)
    result: int = lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(ids)))
    if result == 2:
        raise Aborted
    if result:
        reason = reason_from_log("no reason given")
        raise EngineError(f"llama_decode failed with {result}: {reason}")
    lib.llama_synchronize(context)  # a GPU is done only now
