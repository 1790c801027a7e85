"""Presets: the hyperparameters of the paper, and those usual today."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from baize_shared.number_limits import LARGEST_FLOAT, LARGEST_INT
from baize_shared.trained_prompt import NewToken
from baize_train.errors import TrainError
from baize_train.tokens.dialogue_tokenizer import Loss

Schedule = Literal["linear", "cosine", "constant"]
PresetName = Literal["baize-v1", "baize-v1.5", "modern", "cpu-try"]
ATTENTION = ("q_proj", "k_proj", "v_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
BAIZE_MODULES = (*ATTENTION, *FEED_FORWARD)
"""The paper's "all linear layers": its counts of parameters show that ``o_proj`` is not one."""
ALL_MODULES = (*ATTENTION, "o_proj", *FEED_FORWARD)
_PAPER_RATES = ((10e9, 2e-4), (20e9, 1e-4), (float("inf"), 5e-5))
"""Learning rates of the paper's 7B, 13B and 30B, with the sizes below which they apply."""


LORA_SETTINGS = ("rank", "alpha", "dropout", "modules", "dora", "rslora")
"""The fields of a preset that full fine-tuning does not have."""
FULL_LEARNING_RATE = 2e-5
"""Of full fine-tuning. Those of the presets are for a LoRA, which takes about ten times as much."""
ADDED_LATER = ("weight_decay", "dora", "rslora", "neftune", "full", "new_tokens", "special_tokens")

SHORTEST = 16
"""Tokens of a sequence that hold a question and an answer."""
MOST_DROPOUT = 0.99
LARGEST_SEED = 2**32 - 1
"""Of NumPy's generators."""
_Count = Annotated[int, Meta(ge=1, le=LARGEST_INT)]
_Amount = Annotated[float, Meta(ge=0, le=LARGEST_FLOAT)]
_Positive = Annotated[float, Meta(gt=0, le=LARGEST_FLOAT)]


class Preset(Struct, frozen=True):
    """Hyperparameters of a run; options of the command line replace single ones.

    The ranges hold for what is decoded: a config file, and what ``choose_preset`` checks.
    """

    about: str
    rank: _Count = 8
    alpha: _Count = 16
    dropout: Annotated[float, Meta(ge=0, le=MOST_DROPOUT)] = 0.05
    modules: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)] = (
        BAIZE_MODULES
    )
    loss: Loss = "answers"
    max_length: Annotated[int, Meta(ge=SHORTEST, le=LARGEST_INT)] = 1024
    """Tokens of a sequence; a longer dialogue loses its end."""
    packing: bool = False
    batch: _Count = 64
    """Sequences of one step, on all devices together."""
    micro_batch: _Count = 4
    """Sequences that one device takes at once."""
    epochs: _Positive = 1.0
    learning_rate: _Positive | None = None
    """None is the paper's for the size of the base."""
    schedule: Schedule = "linear"
    warmup_steps: Annotated[int, Meta(ge=0, le=LARGEST_INT)] = 100
    """At most; a tenth of the run if that is less."""
    weight_decay: _Amount = 0.0
    dora: bool = False
    rslora: bool = False
    """Scale by alpha over the square root of the rank."""
    neftune: _Amount = 0.0
    """Strength of the noise on embeddings; 0 is none."""
    full: bool = False
    """Train all weights instead of a LoRA."""
    new_tokens: tuple[str, ...] = ()
    """Words to add to the vocabulary."""
    special_tokens: tuple[str, ...] = ()
    """Tokens to add that only a chat template writes."""

    @property
    def added_tokens(self) -> tuple[NewToken, ...]:
        """All tokens to add, in the order of their ids."""
        special = (NewToken(text, special=True) for text in self.special_tokens)
        return (*special, *map(NewToken, self.new_tokens))

    def choose_learning_rate(self, parameters: int) -> float:
        """The learning rate for a base of ``parameters`` parameters."""
        if self.learning_rate is not None:
            return self.learning_rate
        return next(rate for limit, rate in _PAPER_RATES if parameters < limit)

    def split_batch(self, processes: int) -> tuple[int, int]:
        """Sequences that a device takes at once, and how often before each step: together exactly
        ``batch`` sequences.

        Raises:
            TrainError: the devices cannot share the batch.
        """
        each, rest = divmod(self.batch, processes)
        if rest or not each:
            raise TrainError(
                f"--batch {self.batch} cannot be shared by {processes} processes: choose a multiple"
            )
        at_once = next(n for n in range(min(self.micro_batch, each), 0, -1) if each % n == 0)
        return at_once, each // at_once

    def warmup(self, steps: int) -> int:
        """Warm-up steps of a run of ``steps`` steps."""
        return min(self.warmup_steps, steps // 10)


PRESETS: dict[PresetName, Preset] = {
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
