"""Hyperparameters by name: those of the paper, and those one would take today."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from baize_train.tokens.dialogue_tokenizer import Loss

Schedule = Literal["linear", "cosine", "constant"]
ATTENTION = ("q_proj", "k_proj", "v_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
BAIZE_MODULES = (*ATTENTION, *FEED_FORWARD)
"""The paper's "all linear layers" are these six: its counts of parameters leave ``o_proj`` out."""
ALL_MODULES = (*ATTENTION, "o_proj", *FEED_FORWARD)
_PAPER_RATES = ((10e9, 2e-4), (20e9, 1e-4), (float("inf"), 5e-5))
"""Learning rates of 7B, 13B and 30B."""


class Preset(Struct, frozen=True):
    """What a run is made with, where its command says nothing else."""

    about: str
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    modules: tuple[str, ...] = BAIZE_MODULES
    loss: Loss = "answers"
    max_length: int = 1024
    """Tokens of a sequence; of a dialogue that is longer the end is cut."""
    packing: bool = False
    batch: int = 64
    """Sequences of one step, of all devices together."""
    micro_batch: int = 4
    """Sequences at once on one device."""
    epochs: float = 1.0
    learning_rate: float | None = None
    """None takes the paper's for the size of the base."""
    schedule: Schedule = "linear"
    warmup_steps: int = 100
    """At most; never more than a tenth of the run."""

    def rate_for(self, parameters: int) -> float:
        """The learning rate for a base of so many parameters."""
        if self.learning_rate is not None:
            return self.learning_rate
        return next(rate for below, rate in _PAPER_RATES if parameters < below)

    def warmup_of(self, steps: int) -> int:
        return min(self.warmup_steps, steps // 10)


PRESETS = {
    "baize-v1": Preset("the paper's first: loss on everything", loss="everything", max_length=512),
    "baize-v1.5": Preset("the paper's second: loss on the answers, 1,024 tokens"),
    "modern": Preset(
        "all linear layers, packed, cosine",
        rank=16,
        alpha=32,
        dropout=0.0,
        modules=ALL_MODULES,
        max_length=2048,
        packing=True,
        batch=16,
        epochs=2.0,
        learning_rate=2e-4,
        schedule="cosine",
    ),
    "cpu-try": Preset(
        "small and short, for a first try without a GPU",
        dropout=0.0,
        modules=ALL_MODULES,
        max_length=256,
        batch=4,
        micro_batch=4,
        learning_rate=5e-4,
        schedule="cosine",
        warmup_steps=5,
    ),
}
