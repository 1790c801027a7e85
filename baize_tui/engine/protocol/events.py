"""What the worker sends to the client."""

from __future__ import annotations

from msgspec import Struct

from baize_tui.engine.protocol.values import (
    FailureKind,
    FinishReason,
    GgufHeader,
    LoadedModel,
    Stats,
)
from baize_tui.footprint import Device, Measurement


class Started(Struct, frozen=True, tag="started"):
    """The worker is running and has loaded llama.cpp."""

    request: int = 0


class Loading(Struct, frozen=True, tag="loading"):
    """``progress``, 0 to 1, of the model is in memory."""

    request: int
    progress: float


class WarmingUp(Struct, frozen=True, tag="warming_up"):
    """The weights are in memory; a first token is computed to prove that this machine can."""

    request: int


class Loaded(Struct, frozen=True, tag="loaded"):
    """The model is ready."""

    request: int
    model: LoadedModel


class Rendering(Struct, frozen=True, tag="rendering"):
    """A chat template starts to run; the client kills the worker if it takes too long."""

    request: int


class Rendered(Struct, frozen=True, tag="rendered"):
    """The chat template has ended."""

    request: int


class Prefilling(Struct, frozen=True, tag="prefilling"):
    """``done`` of ``total`` prompt tokens are in the KV cache, ``reused`` of them from before."""

    request: int
    done: int
    total: int
    reused: int


class ThreadsChosen(Struct, frozen=True, tag="threads_chosen"):
    """From now on ``threads`` of at most ``most`` threads write the answer."""

    request: int
    threads: int
    most: int
    lowered: bool
    """Whether the count is lower because the machine is busy."""


class Delta(Struct, frozen=True, tag="delta"):
    """More of the answer: text that is final, and the ids generated since the last delta.

    ``reasoning`` is more of the thought before the answer; the markup around it is in neither.
    """

    request: int
    text: str
    ids: list[int]
    reasoning: str = ""
    thinking: bool = False
    """Whether the model is still in a thought."""
    answer_was_thought: bool = False
    """Whether all text of the answer before this delta turned out to be a thought."""


class Finished(Struct, frozen=True, tag="finished"):
    """The whole answer; ``text``, ``reasoning`` and ``ids`` replace those of the deltas."""

    request: int
    reason: FinishReason
    text: str
    ids: list[int]
    stats: Stats
    notices: list[str] = []
    """What differs from what was asked, for the person to know."""
    reasoning: str = ""


class Warmed(Struct, frozen=True, tag="warmed"):
    """The KV cache holds the prompt of ``tokens``, ``reused`` of them from before."""

    request: int
    tokens: int
    reused: int


class CacheSaved(Struct, frozen=True, tag="cache_saved"):
    """What the KV cache holds is on disk, where that pays; ``problem`` says why it is not."""

    request: int
    problem: str = ""


class Forgotten(Struct, frozen=True, tag="forgotten"):
    """Nothing of the conversation is saved any more."""

    request: int


class Counted(Struct, frozen=True, tag="counted"):
    """The prompt has ``tokens``; the context holds ``n_ctx``."""

    request: int
    tokens: int
    n_ctx: int


class FormChecked(Struct, frozen=True, tag="form_checked"):
    """An answer can have the form."""

    request: int


class PromptPiece(Struct, frozen=True):
    """Tokens of a prompt that follow each other and are alike: a text, or one control token."""

    text: str
    tokens: int
    is_control: bool
    is_cached: bool
    """Whether the KV cache has it, so that it need not be read again."""


class PromptRead(Struct, frozen=True, tag="prompt_read"):
    """What the model reads of the prompt, from its first token to its last."""

    request: int
    pieces: list[PromptPiece]


class TokenChoice(Struct, frozen=True):
    """A token that could be at a place; ``probability`` is the model's own, before sampling."""

    id: int
    text: str
    """As much of it as is text: a token may end inside a character."""
    probability: float


class JudgedToken(Struct, frozen=True):
    """A token of an answer, with the likeliest ones at its place, the likeliest first."""

    chosen: TokenChoice
    likeliest: list[TokenChoice]


class Judged(Struct, frozen=True, tag="judged"):
    """How likely each token of an answer was."""

    request: int
    tokens: list[JudgedToken]


class Tokenized(Struct, frozen=True, tag="tokenized"):
    """The ids of the text."""

    request: int
    ids: list[int]


class Encoded(Struct, frozen=True, tag="encoded"):
    """The ids of each text."""

    request: int
    ids: list[list[int]]


class TemplateWritten(Struct, frozen=True, tag="template_written"):
    """The text that a chat template has made of a conversation."""

    request: int
    text: str


class Scored(Struct, frozen=True, tag="scored"):
    """Negative log-likelihood of each id after the first, in nats."""

    request: int
    losses: list[float]


class LogitsWritten(Struct, frozen=True, tag="logits_written"):
    """The file with the logits is complete."""

    request: int


class LoopTimed(Struct, frozen=True, tag="loop_timed"):
    """llama.cpp alone has read the prompt in ``read_s`` seconds and written ``written`` tokens."""

    request: int
    read_s: float
    written: int
    write_s: float


class AnswerTimed(Struct, frozen=True, tag="answer_timed"):
    """What the answer took; its text stays in the worker."""

    request: int
    stats: Stats


class Inspected(Struct, frozen=True, tag="inspected"):
    """The header of the file."""

    request: int
    header: GgufHeader


class Measured(Struct, frozen=True, tag="measured"):
    """What the model would take."""

    request: int
    measurement: Measurement


class AdapterChecked(Struct, frozen=True, tag="adapter_checked"):
    """The adapter fits its base."""

    request: int


class Diagnosis(Struct, frozen=True, tag="diagnosis"):
    """llama.cpp on this machine."""

    request: int
    llama_cpp_python: str
    llama_cpp: str
    system_info: str
    gpu_offload: bool
    mmap: bool
    threads: int
    threads_batch: int
    devices: list[Device]


class Failed(Struct, frozen=True, tag="failed"):
    """The request failed; ``why`` is one line. ``tokens`` and ``n_ctx`` belong to ``too_long``."""

    request: int
    kind: FailureKind
    why: str
    tokens: int = 0
    n_ctx: int = 0


Event = (
    Started
    | Loading
    | WarmingUp
    | Loaded
    | Rendering
    | Rendered
    | Prefilling
    | ThreadsChosen
    | Delta
    | Finished
    | Warmed
    | CacheSaved
    | Forgotten
    | Counted
    | FormChecked
    | PromptRead
    | Judged
    | Tokenized
    | Encoded
    | TemplateWritten
    | Scored
    | LogitsWritten
    | LoopTimed
    | AnswerTimed
    | Inspected
    | Measured
    | AdapterChecked
    | Diagnosis
    | Failed
)
