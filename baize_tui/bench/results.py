"""What was measured: raw figures, a value for each round, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

from baize_tui.engine.protocol import Diagnosis, LoadedModel

Work = Literal["writing", "reading"]
Layer = Literal["engine", "worker", "screen"]
LAYERS: tuple[Layer, ...] = ("engine", "worker", "screen")


class Speed(Struct, frozen=True):
    """Tokens per second."""

    reading: float
    """Of the prompt, until the first token of the answer."""
    writing: float
    """Of the answer after its first token."""
    threads: int
    """How many threads most tokens were written with."""

    def of(self, work: Work) -> float:
        """The speed of one kind of work."""
        return self.reading if work == "reading" else self.writing


Speeds = list[Speed | None]
"""One for each round; None where it would have taken too long."""


class ThreadCount(Struct):
    """The speeds with one number of threads; a list is empty if that layer was not measured."""

    threads: int
    """0 for the number that the engine chooses itself."""
    bare_loop: Speeds = []
    """llama.cpp alone; it cannot choose a number."""
    engine: Speeds = []
    """In the model process, without sending the answer."""
    worker: Speeds = []
    """From the model process to the client."""
    screen: Speeds = []
    """In the client, while it draws the answer in a terminal."""

    def speeds(self, layer: Layer) -> Speeds:
        """Those of one layer."""
        return {"engine": self.engine, "worker": self.worker, "screen": self.screen}[layer]

    def bare(self, work: Work, round_number: int) -> float | None:
        """The speed of llama.cpp alone; None if it was not measured."""
        speed = self.bare_loop[round_number] if round_number < len(self.bare_loop) else None
        return speed.of(work) if speed is not None else None


class LoadCase(Struct):
    """The speeds while the machine is idle, or beside a process that keeps a core busy."""

    counts: list[ThreadCount] = []

    def ratio(self, count: ThreadCount, layer: Layer, work: Work) -> float | None:
        """The speed of ``layer`` over llama.cpp alone, the median of the rounds; None without any.

        A fixed number of threads is compared with the same number, the chosen one with the best.
        """
        peers = [count] if count.threads else self.counts
        ratios = []
        for number, speed in enumerate(count.speeds(layer)):
            bare = max((peer.bare(work, number) or 0.0 for peer in peers), default=0.0)
            if speed is not None and bare:
                ratios.append(speed.of(work) / bare)
        return statistics.median(ratios) if ratios else None


class FirstTokens(Struct):
    """Seconds from the question to the first token of the answer, for each round."""

    history_tokens: int = 0
    cold: list[float] = []
    """Nothing of the conversation was read before."""
    warm: list[float] = []
    """The conversation continues."""
    restored: list[float] = []
    """The conversation continues after a restart of the model process."""
    snapshot_bytes: int = 0
    """What was saved of the conversation; 0 if reading it again is as fast."""
    snapshot_tokens: int = 0
    restored_tokens: int = 0
    """Tokens that were not read again after the restart."""

    def speedup(self, times: Sequence[float]) -> float | None:
        """How many times as fast as ``cold`` the first token came, the median of the rounds."""
        pairs = zip(self.cold, times, strict=False)
        ratios = [cold / seconds for cold, seconds in pairs if seconds > 0]
        return statistics.median(ratios) if ratios else None

    def saved_bytes_of(self, tokens: int) -> float | None:
        """Bytes that so many tokens take on disk; None if nothing was saved."""
        if not self.snapshot_bytes or not self.snapshot_tokens:
            return None
        return self.snapshot_bytes * tokens / self.snapshot_tokens


class PromptLookup(Struct):
    """Writing a text that the prompt has: tokens per second without and with guessed tokens."""

    off: list[float] = []
    on: list[float] = []
    guessed: int = 0
    accepted: int = 0

    @property
    def gain(self) -> float | None:
        """How many times as fast guesses make it, the median of the rounds."""
        ratios = [on / off for off, on in zip(self.off, self.on, strict=False) if off > 0]
        return statistics.median(ratios) if ratios else None

    @property
    def hit_rate(self) -> float | None:
        """The part of the guesses that was right; None without guesses."""
        return self.accepted / self.guessed if self.guessed else None


class KvSizes(Struct, frozen=True):
    """Bytes that 1,000 tokens take in the KV cache, by the type of its numbers."""

    f16: float
    q8_0: float | None
    """None for a model whose cache cannot have this type."""


class Lengths(Struct, frozen=True):
    """How many tokens were read and written, and in how many rounds."""

    prompt: int
    answer: int
    history: int


class Results(Struct):
    """All figures."""

    diagnosis: Diagnosis
    loaded: LoadedModel
    lengths: Lengths
    probe: Speed
    """A first look at llama.cpp alone, from which the lengths follow."""
    kv_cache: KvSizes
    rounds: int = 0
    disturbance: float = 0.0
    """Part of the processor that other programs took meanwhile, 0 to 1."""
    idle: LoadCase = field(default_factory=LoadCase)
    busy: LoadCase = field(default_factory=LoadCase)
    first_token: FirstTokens = field(default_factory=FirstTokens)
    prompt_lookup: PromptLookup = field(default_factory=PromptLookup)
