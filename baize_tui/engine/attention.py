"""Which of llama.cpp's two ways to compute attention to use on the processor.

Flash attention takes no memory for scores, and is faster for batches of 64 rows and more. For fewer
rows it takes another path, which on some processors is several times slower than the plain way, so
that answers get slow as the conversation grows (``ggml_compute_forward_flash_attn_ext_f16`` of
ggml-cpu/ops.cpp). No table says on which, so it is measured: see ``attention_trial``.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from baize_tui.settings import KvType

BATCH, GPU_BATCH = 512, 128
"""Tokens of one decode call while reading the prompt. On a processor, smaller calls are up to a
fifth slower, and a cancel interrupts them; a GPU finishes a call that has begun."""
MOST_SCORE_BYTES = 256 << 20
"""Memory that the scores of plain attention may take."""
_TILE = 64
"""Rows from which on flash attention is fast (``GGML_FA_TILE_Q`` of ggml-cpu/common.h)."""
_SCORE_BYTES = 4
_CLEARLY_FASTER = 1.25
_TOKENS_PER_QUESTION, _TOKENS_PER_PROMPT = 200, 0.25


class AttentionTimes(Struct, frozen=True):
    """Seconds that one way takes beside a cache of some 1,000 tokens."""

    token: float
    """A token of an answer."""
    question: float
    """A short question, below 64 tokens."""
    batch: float
    """A whole batch of a long prompt."""

    @property
    def turn(self) -> float:
        """A question with its answer, and now and then a long prompt before it."""
        return (
            self.question + _TOKENS_PER_QUESTION * self.token + _TOKENS_PER_PROMPT * 2 * self.batch
        )


class TrialResult(Struct, frozen=True):
    """The times of both ways on one machine."""

    flash: AttentionTimes
    plain: AttentionTimes

    @property
    def flash_pays(self) -> bool:
        """False only if plain attention is clearly faster: it takes more memory."""
        return self.speedup_of_plain < _CLEARLY_FASTER

    @property
    def speedup_of_plain(self) -> float:
        """How many times faster plain attention is over a turn."""
        return self.flash.turn / self.plain.turn


@dataclass(frozen=True, slots=True)
class Attention:
    """How a context computes attention, and the most tokens of one decode call."""

    flash: bool
    batch: int
    kv_type: KvType = "f16"
    """Type of the numbers in the KV cache."""


def choose_attention(
    *,
    on_gpu: bool,
    flash_allowed: bool,
    flash_pays: bool,
    n_ctx: int,
    heads: int,
    kv_type: KvType = "f16",
) -> Attention:
    """The way for a context of ``n_ctx`` tokens of a model with ``heads`` query heads.

    Only flash attention reads a quantized KV cache: without it, the numbers are f16.

    ``flash_allowed`` is what the machine profile says, ``flash_pays`` what the trial has shown. The
    batches of plain attention are small enough that its scores fit into ``MOST_SCORE_BYTES``; for a
    context where not even 64 rows fit, flash attention is used if it is allowed.
    """
    if on_gpu:
        return Attention(flash_allowed, GPU_BATCH, kv_type if flash_allowed else "f16")
    if flash_allowed and (flash_pays or kv_type != "f16"):
        return Attention(flash=True, batch=BATCH, kv_type=kv_type)
    fitting = MOST_SCORE_BYTES // max(n_ctx * heads * _SCORE_BYTES, 1) // _TILE * _TILE
    if fitting < _TILE and flash_allowed:
        return Attention(flash=True, batch=BATCH)
    return Attention(flash=False, batch=min(max(fitting, _TILE), BATCH))
