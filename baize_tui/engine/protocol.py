"""What the client and the worker say to each other: one JSON object a line, as msgspec structs.

Requests travel on the worker's stdin, events on its stdout. Every event that answers a request
carries that request's number.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from baize_tui.footprint import Device, Measurement
from baize_tui.settings import Sampling

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "context", "cancelled"]
FailureKind = Literal["load", "template", "too_long", "engine", "request"]

LINE_LIMIT = 64 * 1024 * 1024
"""Longest line either side accepts, in bytes; asyncio's own limit of 64 KiB is too small."""


class PromptMessage(Struct, frozen=True, omit_defaults=True):
    """One turn as the engine sees it.

    ``ids`` are the tokens that were generated for this text with this very vocabulary: they go
    into the prompt as they are, never tokenized again.
    """

    role: Role
    content: str
    ids: list[int] | None = None


class Prompt(Struct, frozen=True, omit_defaults=True):
    """A conversation and the Jinja template that turns it into text.

    ``template`` None takes the one in the GGUF file. ``markers`` are plain-text strings that the
    format uses as turn markers: no token protects them, so a zero-width break goes into each
    marker found in a content. ``partial`` is the beginning of the answer when going on with it.
    """

    messages: list[PromptMessage]
    template: str | None = None
    template_name: str = "the model's own chat template"
    variables: dict[str, Any] = {}
    markers: list[str] = []
    partial: PromptMessage | None = None


# --- requests ---------------------------------------------------------------------------------


class Load(Struct, frozen=True, tag="load"):
    """Load a GGUF file in place of whatever is loaded."""

    request: int
    path: str
    context: int = 4096
    threads: int = 0
    threads_batch: int = 0
    gpu_layers: int | None = 0
    """Layers on the GPU, -1 for all of them; None for as many as fit."""
    device: str = ""
    """Name of the only GPU to use; empty uses all of them."""
    all_logits: bool = False
    """For ``Score`` and ``WriteLogits``: keep room for the logits of every token."""


class AdapterUse(Struct, frozen=True):
    """A GGUF LoRA that is laid over the model, and how strongly."""

    path: str
    scale: float = 1.0


class Generate(Struct, frozen=True, tag="generate"):
    """Render and tokenize ``prompt``, prefill what the KV cache lacks, and generate an answer.

    ``reserve`` tokens must be left for the answer, else the answer is ``Failed("too_long")``
    before anything is computed. ``trim_at_stop`` removes whitespace before a stop string.
    """

    request: int
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 1024
    reserve: int = 1
    stop: list[str] = []
    trim_at_stop: bool = False
    adapters: list[AdapterUse] = []
    grammar: str = ""
    """GBNF that the answer has to follow, with the rule ``root``; empty is none."""
    resume: list[int] = []
    """Ids that the deltas of this very request gave before its worker died; the answer goes on
    after them, and the deltas with what follows."""


class Count(Struct, frozen=True, tag="count"):
    """How many tokens ``prompt`` has."""

    request: int
    prompt: Prompt


class Tokenize(Struct, frozen=True, tag="tokenize"):
    """Tokenize ``text`` alone with the vocabulary in the GGUF file ``path``; no weight is read."""

    request: int
    path: str
    text: str


class Score(Struct, frozen=True, tag="score"):
    """How likely the loaded model holds each of ``ids`` after those before it."""

    request: int
    ids: list[int]
    adapters: list[AdapterUse] = []


class WriteLogits(Struct, frozen=True, tag="write_logits"):
    """Write the logits after each of ``ids`` to the file ``output``: float32 [ids, vocabulary]."""

    request: int
    ids: list[int]
    output: str


class Inspect(Struct, frozen=True, tag="inspect"):
    """Read the header of a GGUF file, without loading it."""

    request: int
    path: str


class Measure(Struct, frozen=True, tag="measure"):
    """What loading the model would take, told by its header; no weight is read.

    With ``budget``, bytes of main memory, also the largest context that fits into it.
    """

    request: int
    path: str
    context: int
    gpu_layers: int | None = 0
    budget: int = 0


class CheckAdapter(Struct, frozen=True, tag="check_adapter"):
    """Whether a GGUF LoRA is one of the model in ``base``, told by their headers."""

    request: int
    path: str
    base: str


class Diagnose(Struct, frozen=True, tag="diagnose"):
    """What llama.cpp is on this machine."""

    request: int


class Cancel(Struct, frozen=True, tag="cancel"):
    """Stop computing request ``request`` now; a number that is not running is ignored."""

    request: int


Request = (
    Load
    | Generate
    | Count
    | Tokenize
    | Score
    | WriteLogits
    | Inspect
    | Measure
    | CheckAdapter
    | Diagnose
    | Cancel
)

# --- events -----------------------------------------------------------------------------------


class GgufHeader(Struct, frozen=True):
    """What the header of a GGUF file says; the texts are as found, not cleaned."""

    path: str
    file_bytes: int
    architecture: str
    name: str
    quantization: str
    parameters: int
    context_length: int
    layers: int
    embedding: int
    heads: int
    heads_kv: int
    vocabulary: int
    tokenizer: str
    chat_template: str
    license: str
    metadata: dict[str, str]
    data_offset: int = 0
    """Where the weights begin."""


class LoadedModel(Struct, frozen=True):
    """A model ready to generate."""

    path: str
    file_bytes: int
    name: str
    description: str
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    threads: int
    """The most threads that write; as many as the machine allows, or a fixed count."""
    threads_batch: int
    """The same for reading."""
    gpu_layers: int
    tokenizer: str
    """Fingerprint of the vocabulary: ids generated under one are meaningless under another."""
    has_template: bool
    backend: str
    """Versions of llama-cpp-python and llama.cpp."""
    profile: str = ""
    """Name of the machine profile that it was loaded under."""
    begin: list[int] = []
    """Ids in front of every text: a BOS, where the vocabulary wants one."""
    prompt_format: str = ""
    """The prompt format that the file names (``baize.prompt_format``)."""
    stop: list[str] = []
    """Text that ends an answer, as the file says (``baize.stop``)."""


class Stats(Struct, frozen=True):
    """Counts in tokens, times in seconds."""

    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_s: float
    prefill_s: float
    decode_s: float
    seed: int
    threads: int
    """The count that most tokens were written with."""
    threads_batch: int
    lowered: bool = False
    """Whether there were fewer threads at the end because the machine was busy."""
    profile: str = ""
    """Name of the machine profile that the answer ended under."""
    resumed_tokens: int = 0
    """Tokens of the answer that a worker generated which then died; the times leave them out."""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed: tokens after the first over the time between first and last."""
        timed = self.completion_tokens - self.resumed_tokens
        if timed < 2 or self.decode_s <= 0:
            return 0.0
        return (timed - 1) / self.decode_s


class Started(Struct, frozen=True, tag="started"):
    """The worker runs, with llama.cpp in it."""

    request: int = 0


class Loading(Struct, frozen=True, tag="loading"):
    request: int
    progress: float


class WarmingUp(Struct, frozen=True, tag="warming_up"):
    """The weights are in memory; a first token is computed, to see that this machine can."""

    request: int


class Loaded(Struct, frozen=True, tag="loaded"):
    request: int
    model: LoadedModel


class Rendering(Struct, frozen=True, tag="rendering"):
    """A chat template runs from now; the client kills the worker when it takes too long."""

    request: int


class Rendered(Struct, frozen=True, tag="rendered"):
    request: int


class Prefilling(Struct, frozen=True, tag="prefilling"):
    """``done`` of ``total`` prompt tokens are in the KV cache, ``reused`` of them from before."""

    request: int
    done: int
    total: int
    reused: int


class ThreadsChosen(Struct, frozen=True, tag="threads_chosen"):
    """So many threads of at most ``most`` write the answer from now on."""

    request: int
    threads: int
    most: int
    lowered: bool
    """Whether there are fewer because the machine is busy."""


class Delta(Struct, frozen=True, tag="delta"):
    """More of the answer: text that is final, and the ids generated since the last delta."""

    request: int
    text: str
    ids: list[int]


class Finished(Struct, frozen=True, tag="finished"):
    """The whole answer. ``text`` and ``ids`` stand in for what the deltas gave."""

    request: int
    reason: FinishReason
    text: str
    ids: list[int]
    stats: Stats
    notices: list[str] = []


class Counted(Struct, frozen=True, tag="counted"):
    request: int
    tokens: int
    n_ctx: int


class Tokenized(Struct, frozen=True, tag="tokenized"):
    request: int
    ids: list[int]


class Scored(Struct, frozen=True, tag="scored"):
    """Negative log-likelihood of each id after the first, in nats."""

    request: int
    losses: list[float]


class LogitsWritten(Struct, frozen=True, tag="logits_written"):
    request: int


class Inspected(Struct, frozen=True, tag="inspected"):
    request: int
    header: GgufHeader


class Measured(Struct, frozen=True, tag="measured"):
    request: int
    measurement: Measurement


class AdapterChecked(Struct, frozen=True, tag="adapter_checked"):
    """It fits."""

    request: int


class Diagnosis(Struct, frozen=True, tag="diagnosis"):
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
    """One clear line about what went wrong; ``tokens`` and ``n_ctx`` with ``too_long``."""

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
    | Counted
    | Tokenized
    | Scored
    | LogitsWritten
    | Inspected
    | Measured
    | AdapterChecked
    | Diagnosis
    | Failed
)

_encoder = msgspec.json.Encoder()
decode_request = msgspec.json.Decoder(Request).decode
decode_event = msgspec.json.Decoder(Event).decode


def encode_line(message: Request | Event) -> bytes:
    """``message`` as one line of JSON with its newline."""
    return _encoder.encode(message) + b"\n"
