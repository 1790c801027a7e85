"""A KV cache over a model: decoding into it, cutting it, and reading logits."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama import thread_pools
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.llama.log import forget_errors, reason_from_log
from baize_tui.engine.llama.machine import cpu_function
from baize_tui.engine.llama.model import Adapter, Model
from baize_tui.settings import KvType
from baize_tui.translation import msg, tr

MAIN_SEQUENCE = 0
_PART_SEQUENCE = 1
"""Names some of the cells of the main sequence, to save or restore these alone."""


_KV_TYPES: dict[KvType, int] = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}


_SMALLEST = 256
"""llama.cpp makes a smaller context as large as this, but not its batches, which no prompt fits
then (``llama_context::llama_context``)."""

NO_CONTEXT = msg("no context of {count} tokens: {why}. Set a smaller model.context")
NO_CONTEXT_IN_Q8_0 = msg(
    "no context of {count} tokens: {why}. Set a smaller model.context, or model.kv_type to f16"
)


class Context:
    """A KV cache over a model, with one sequence in it, and the batch that feeds it."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_batch: int,
        threads: int,
        threads_batch: int,
        abort: AbortFlag,
        flash_attention: bool = True,
        kv_type: KvType = "f16",
        outputs: int = 0,
    ) -> None:
        """``n_batch`` is both the logical and the physical batch: one decode call is one ubatch.

        ``outputs`` is for how many tokens of one call logits can be kept, 0 for all of them.

        Raises:
            EngineError: there is too little memory for the cache.
        """
        params = lib.llama_context_default_params()
        params.n_ctx = max(n_ctx, _SMALLEST)
        params.n_batch = params.n_ubatch = n_batch
        if not model.has_recurrent_state:
            # In a unified cache, sequences share cells: naming some of them twice copies nothing.
            params.n_seq_max, params.kv_unified = 2, True
        if outputs:
            # llama.cpp aborts with fewer outputs than sequences (llama_context::output_reserve).
            params.n_outputs_max = max(outputs, params.n_seq_max)
        params.n_threads = threads
        params.n_threads_batch = threads_batch
        params.abort_callback = abort.callback
        params.abort_callback_data = abort.address
        params.no_perf = True
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        if not flash_attention:
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._abort = abort
        self._is_recurrent = model.has_recurrent_state
        self._threads = 0, 0
        forget_errors()
        self._context = lib.llama_init_from_model(model.handle, params)
        if not self._context:
            reason = reason_from_log(tr("too little memory for the KV cache"))
            no_context = NO_CONTEXT if kv_type == "f16" else NO_CONTEXT_IN_Q8_0
            raise EngineError(tr(no_context, count=n_ctx, why=reason))
        self._pools = thread_pools.open_pools(self.handle, cpu_function)
        self._memory = lib.llama_get_memory(self._context)
        self.n_ctx: int = lib.llama_n_ctx(self._context)
        self.n_batch: int = lib.llama_n_batch(self._context)
        self._batch = lib.llama_batch_init(self.n_batch, 0, 1)
        for i in range(self.n_batch):
            self._batch.n_seq_id[i] = 1
            self._batch.seq_id[i][0] = MAIN_SEQUENCE

    @property
    def handle(self) -> int:
        """``llama_context *``."""
        return int(self._context)

    def set_threads(self, threads: int, threads_batch: int) -> None:
        """Threads that compute single tokens, and batches, from the next call on."""
        if (threads, threads_batch) != self._threads:
            self._threads = threads, threads_batch
            lib.llama_set_n_threads(self._context, threads, threads_batch)
            if self._pools is not None:
                self._pools.resize(threads, threads_batch)

    def decode(
        self, tokens: Sequence[int], position: int, *, logits: bool, of_all: bool = False
    ) -> None:
        """Compute ``tokens`` from ``position`` on; ``logits`` keeps those of the last token or,
        with ``of_all``, of every token.

        Raises:
            Aborted: the flag was set; the cache is valid up to ``last_position()``.
            EngineError: the cache has no room, or llama.cpp failed.
        """
        n = len(tokens)
        if not 0 < n <= self.n_batch:
            raise EngineError(f"a batch of {n} tokens; 1 to {self.n_batch} fit")
        if position + n > self.n_ctx:
            raise EngineError(f"token {position + n} of a context of {self.n_ctx}")
        batch = self._batch
        batch.n_tokens = n
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.logits[i] = logits and of_all
        batch.logits[n - 1] = logits
        result: int = lib.llama_decode(self._context, batch)
        if result == 0:
            if logits:
                lib.llama_synchronize(self._context)  # a GPU is done only now
            return
        if result == 2:
            raise Aborted
        if result == 1:
            raise EngineError("the KV cache has no room for this batch")
        raise EngineError(
            f"llama_decode failed with {result}: {reason_from_log('no reason given')}"
        )

    def last_position(self) -> int:
        """Position of the last token in the cache, -1 when it is empty."""
        return int(lib.llama_memory_seq_pos_max(self._memory, MAIN_SEQUENCE))

    def truncate(self, length: int) -> bool:
        """Keep the first ``length`` tokens; False for a kind of memory that can only be cleared."""
        return bool(lib.llama_memory_seq_rm(self._memory, MAIN_SEQUENCE, length, -1))

    @property
    def can_shift(self) -> bool:
        """Whether ``cut_out`` is possible: llama.cpp aborts where it is not."""
        return not self._is_recurrent and bool(lib.llama_memory_can_shift(self._memory))

    def cut_out(self, start: int, end: int) -> bool:
        """Remove the tokens at positions ``start`` to ``end``, and move those after them there.

        The next call of ``decode`` moves them: that has to be in ``uninterrupted``. False if
        llama.cpp cannot remove them; then nothing has changed.
        """
        if not lib.llama_memory_seq_rm(self._memory, MAIN_SEQUENCE, start, end):
            return False
        lib.llama_memory_seq_add(self._memory, MAIN_SEQUENCE, end, -1, start - end)
        return True

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Ignore the abort flag: llama.cpp does not notice if it stops while it moves tokens.

        Raises:
            EngineError: they could not be moved; clear the cache.
        """
        lib.llama_set_abort_callback(self._context, lib.ggml_abort_callback(), None)
        forget_errors()
        try:
            yield
        finally:
            lib.llama_set_abort_callback(self._context, self._abort.callback, self._abort.address)
        if why := reason_from_log(""):
            raise EngineError(f"the KV cache cannot be shifted: {why}")

    def clear(self) -> None:
        """Empty the cache."""
        lib.llama_memory_clear(self._memory, True)

    def state_bytes(self, start: int, end: int) -> int:
        """Bytes of ``state_of(start, end)``."""
        with self._part(start, end) as part:
            return int(lib.llama_state_seq_get_size(self._context, part))

    def state_of(self, start: int, end: int) -> memoryview:
        """What the tokens at positions ``start`` to ``end`` gave, as ``restore_state`` takes it.

        Raises:
            EngineError: llama.cpp cannot save this kind of memory.
        """
        with self._part(start, end) as part:
            size: int = lib.llama_state_seq_get_size(self._context, part)
            buffer = (ctypes.c_uint8 * size)()
            if lib.llama_state_seq_get_data(self._context, buffer, size, part) != size:
                why = reason_from_log("no reason given")
                raise EngineError(f"the state cannot be saved: {why}")
        return memoryview(buffer).cast("B")

    @contextmanager
    def _part(self, start: int, end: int) -> Iterator[int]:
        """A sequence with the tokens at positions ``start`` to ``end`` alone."""
        lib.llama_memory_seq_rm(self._memory, _PART_SEQUENCE, -1, -1)
        lib.llama_memory_seq_cp(self._memory, MAIN_SEQUENCE, _PART_SEQUENCE, start, end)
        try:
            yield _PART_SEQUENCE
        finally:
            lib.llama_memory_seq_rm(self._memory, _PART_SEQUENCE, -1, -1)

    def restore_state(self, state: memoryview, start: int, end: int) -> bool:
        """Append what ``state_of(start, end)`` returned, in this process or another.

        The cache must hold exactly the tokens before ``start``, and ``state`` must be whole and
        unchanged. False if llama.cpp refuses it; then nothing has changed.
        """
        part = _PART_SEQUENCE
        data = (ctypes.c_uint8 * len(state)).from_buffer(state)
        forget_errors()
        read: int = lib.llama_state_seq_set_data(self._context, data, len(state), part)
        first: int = lib.llama_memory_seq_pos_min(self._memory, part)
        last: int = lib.llama_memory_seq_pos_max(self._memory, part)
        fits = read == len(state) and (first, last) == (start, end - 1)
        if fits:
            lib.llama_memory_seq_cp(self._memory, part, MAIN_SEQUENCE, start, end)
        lib.llama_memory_seq_rm(self._memory, part, -1, -1)
        return fits

    def set_adapters(self, adapters: Sequence[tuple[Adapter, float]]) -> None:
        """Add ``adapters`` with their scales to the weights, in place of earlier ones.

        What the cache has was computed with the earlier ones: clear it.

        Raises:
            EngineError: llama.cpp refused them.
        """
        n = len(adapters)
        handles = (lib.llama_adapter_lora_p_ctypes * n)(
            *(adapter.handle for adapter, _ in adapters)
        )
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        if lib.llama_set_adapters_lora(self._context, handles, n, scales) != 0:
            raise EngineError("llama.cpp cannot apply these adapters to the model")

    def logits_of_all(self, n: int, n_vocab: int) -> Any:
        """Logits of the last ``n`` decoded tokens, float32 [n, n_vocab]; a view, valid until the
        next call."""
        import numpy as np

        return np.ctypeslib.as_array(lib.llama_get_logits(self._context), (n, n_vocab))

    def candidates(self, n_vocab: int, row: int = -1) -> tuple[Any, Any]:
        """All tokens with the logits of token ``row`` of the last batch, as samplers take them, and
        a view of those logits, float32 [n_vocab]."""
        # Imported when used: only grammars need it.
        import numpy as np

        data = (lib.llama_token_data * n_vocab)()
        rows = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        rows["id"] = np.arange(n_vocab)
        logits = lib.llama_get_logits_ith(self._context, row)
        rows["logit"] = np.ctypeslib.as_array(logits, (n_vocab,))
        return lib.llama_token_data_array(data, n_vocab, -1, False), rows["logit"]

    def close(self) -> None:
        """Free the context and its threads."""
        if self._context:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            self._context = None
            if self._pools is not None:
                self._pools.close()
