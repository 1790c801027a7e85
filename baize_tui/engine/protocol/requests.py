"""What the client asks of the worker, each request declared once.

A request class names the event that answers it and the events that may come before, as in
``class Load(FileRequest[Loaded, Loading | WarmingUp])``. One loop in the client and one table in
the worker serve all of them. Two more events can end any request: ``Failed``, and the death of the
worker.
"""

from __future__ import annotations

from typing import ClassVar, Generic, Never, TypeVar, cast, get_args

from msgspec import Struct, field

from baize_tui.engine.protocol.events import (
    AdapterChecked,
    AnswerTimed,
    CacheSaved,
    Counted,
    Delta,
    Diagnosis,
    Encoded,
    Finished,
    Forgotten,
    FormChecked,
    Inspected,
    Judged,
    Loaded,
    Loading,
    LogitsWritten,
    LoopTimed,
    Measured,
    Prefilling,
    PromptRead,
    Scored,
    TemplateWritten,
    ThreadsChosen,
    Tokenized,
    Warmed,
    WarmingUp,
)
from baize_tui.engine.protocol.values import AdapterUse, Prompt
from baize_tui.output_forms import OutputForm
from baize_tui.settings import KvType, Sampling
from baize_tui.translation import msg

AnswerT = TypeVar("AnswerT", covariant=True)
"""The event that answers a request and ends it."""
ProgressT = TypeVar("ProgressT", covariant=True)
"""The events that may come before; ``Never`` for none."""


class Request(Struct, Generic[AnswerT, ProgressT], frozen=True):
    """Something the worker does for the client."""

    request: int
    """Number that its events carry; the client sets it."""
    activity: ClassVar[str]
    """What the worker is doing, for a message about its death: "reading the file"."""
    needs_model: ClassVar[bool] = False
    """Whether it is about the loaded model, so that a new worker has to load that first."""

    @classmethod
    def answer_type(cls) -> type[AnswerT]:
        """The event class in the first parameter of the class's own base."""
        (base, *_) = cast("tuple[type, ...]", cls.__orig_bases__)  # type: ignore[attr-defined]
        return cast("type[AnswerT]", get_args(base)[0])

    @property
    def file(self) -> str:
        """The model file that it is about; empty for the loaded model."""
        return ""


class FileRequest(Request[AnswerT, ProgressT], Generic[AnswerT, ProgressT], frozen=True):
    """A request about the GGUF file ``path``."""

    path: str

    @property
    def file(self) -> str:
        return self.path


class Load(FileRequest[Loaded, Loading | WarmingUp], frozen=True, tag="load"):
    """Load a GGUF file in place of the loaded model."""

    activity: ClassVar[str] = msg("loading the model")
    context: int = 4096
    threads: int = 0
    threads_batch: int = 0
    gpu_layers: int | None = 0
    """Layers on the GPU, -1 for all of them; None for as many as fit."""
    device: str = ""
    """Name of the only GPU to use; empty uses all of them."""
    all_logits: bool = False
    """For ``Score`` and ``WriteLogits``: reserve room for the logits of every token."""
    flash_attention: bool = True
    """Whether flash attention pays on the processor of this machine."""
    kv_type: KvType = "f16"
    """Type of the numbers in the KV cache."""
    draft: str = ""
    """A GGUF file with the same vocabulary that guesses tokens; empty for none."""
    snapshot_folder: str = ""
    """Where the states of conversations are saved."""
    snapshot_budget: int = 0
    """The most bytes that they may take; 0 neither saves nor restores any."""


class Generate(Request[Finished, Prefilling | ThreadsChosen | Delta], frozen=True, tag="generate"):
    """Render and tokenize ``prompt``, prefill what the KV cache lacks, and generate an answer.

    The context must have room for ``reserve`` tokens of answer; otherwise the request fails with
    ``too_long`` before anything is computed. ``trim_at_stop`` removes whitespace before a stop
    string. ``max_tokens`` counts the answer, ``max_thinking_tokens`` the thought before it, which
    is ended where it has more, or where it would leave no room for the answer.
    """

    activity: ClassVar[str] = msg("reading the prompt")
    needs_model: ClassVar[bool] = True
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 1024
    max_thinking_tokens: int = 2048
    reserve: int = 1
    stop: list[str] = []
    trim_at_stop: bool = False
    adapters: list[AdapterUse] = []
    grammar: str = ""
    """GBNF that the answer has to follow, with the rule ``root``; empty for none."""
    form: OutputForm | None = None
    """What ``grammar`` was made from, for servers that take that."""
    resume: list[int] = []
    """Ids that earlier deltas of this request gave before their worker died; the answer, and its
    deltas, continue after them."""
    prompt_lookup: bool = False
    """Whether to guess tokens that occurred before, where that is faster on this machine."""
    use_draft: bool = False
    """Whether the loaded draft model may guess tokens, where that is faster on this machine."""
    conversation: str = ""
    """Id of the conversation whose saved states may be used and added to; empty for none."""
    shift: bool = False
    """Whether parts that the prompt lacks may be cut out of the KV cache, instead of reading what
    follows them again. What follows then keeps the attention that it paid to them."""


class Warm(Request[Warmed, Prefilling], frozen=True, tag="warm"):
    """Read ``prompt`` into the KV cache, so that an answer can begin at once."""

    activity: ClassVar[str] = msg("reading the conversation")
    needs_model: ClassVar[bool] = True
    prompt: Prompt
    adapters: list[AdapterUse] = []
    conversation: str = ""
    """As in ``Generate``."""


class SaveCache(Request[CacheSaved, Never], frozen=True, tag="save_cache"):
    """Save what the KV cache holds of the last conversation, where that pays."""

    activity: ClassVar[str] = msg("saving the state of a conversation")


class Forget(Request[Forgotten, Never], frozen=True, tag="forget"):
    """Remove the saved states of ``conversation``, and save none of it from now on."""

    activity: ClassVar[str] = msg("removing the state of a conversation")
    conversation: str


class Count(Request[Counted, Never], frozen=True, tag="count"):
    """How many tokens ``prompt`` has."""

    activity: ClassVar[str] = msg("counting tokens")
    needs_model: ClassVar[bool] = True
    prompt: Prompt


class CheckForm(Request[FormChecked, Never], frozen=True, tag="check_form"):
    """Whether an answer of the loaded model can have ``form``, whose GBNF is ``grammar``."""

    activity: ClassVar[str] = msg("reading a grammar")
    needs_model: ClassVar[bool] = True
    form: OutputForm
    grammar: str


class ReadPrompt(Request[PromptRead, Never], frozen=True, tag="read_prompt"):
    """The tokens of ``prompt``, as the model reads them."""

    activity: ClassVar[str] = msg("reading the prompt")
    needs_model: ClassVar[bool] = True
    prompt: Prompt


class Judge(Request[Judged, Prefilling], frozen=True, tag="judge"):
    """How likely the loaded model considers each of ``ids`` after ``prompt``, and what else."""

    activity: ClassVar[str] = msg("reading an answer")
    needs_model: ClassVar[bool] = True
    prompt: Prompt
    ids: list[int]
    adapters: list[AdapterUse] = []
    conversation: str = ""
    """As in ``Generate``."""
    choices: int = 5
    """How many of the likeliest tokens are given for each place."""


class Tokenize(FileRequest[Tokenized, Never], frozen=True, tag="tokenize"):
    """Tokenize ``text`` alone with the vocabulary of the GGUF file ``path``; no weight is read."""

    activity: ClassVar[str] = msg("tokenizing")
    text: str


class Encode(FileRequest[Encoded, Never], frozen=True, tag="encode"):
    """Tokenize each of ``texts``, with the special tokens that they contain.

    As a prompt is read: ``add_special`` puts BOS and EOS around each where the vocabulary of the
    GGUF file ``path`` says so. No weight is read.
    """

    activity: ClassVar[str] = msg("tokenizing")
    texts: list[str]
    add_special: bool = False


class WriteTemplate(FileRequest[TemplateWritten, Never], frozen=True, tag="write_template"):
    """The text of ``prompt``, whose template may be that of the GGUF file ``path``."""

    activity: ClassVar[str] = msg("running a chat template")
    prompt: Prompt


class Score(Request[Scored, Never], frozen=True, tag="score"):
    """How likely the loaded model considers each of ``ids`` after those before it."""

    activity: ClassVar[str] = msg("reading a text")
    needs_model: ClassVar[bool] = True
    ids: list[int]
    adapters: list[AdapterUse] = []


class WriteLogits(Request[LogitsWritten, Never], frozen=True, tag="write_logits"):
    """Write the logits after each of ``ids`` to the file ``output``: float32 [ids, vocabulary]."""

    activity: ClassVar[str] = msg("reading a text")
    needs_model: ClassVar[bool] = True
    ids: list[int]
    output: str


class TimeLoop(Request[LoopTimed, Never], frozen=True, tag="time_loop"):
    """Time llama.cpp alone with the loaded model: ``read`` tokens of a prompt, then ``written``
    tokens after it, or as many as ``most_s`` seconds allow."""

    activity: ClassVar[str] = msg("timing llama.cpp")
    needs_model: ClassVar[bool] = True
    threads: int
    read: int
    written: int
    most_s: float


class TimeAnswer(Request[AnswerTimed, Never], frozen=True, tag="time_answer"):
    """Generate ``answer`` without sending it, to time the engine alone."""

    activity: ClassVar[str] = msg("timing an answer")
    needs_model: ClassVar[bool] = True
    answer: Generate


class Inspect(FileRequest[Inspected, Never], frozen=True, tag="inspect"):
    """Read the header of a GGUF file without loading it."""

    activity: ClassVar[str] = msg("reading the file")


class Measure(FileRequest[Measured, Never], frozen=True, tag="measure"):
    """What loading the model would take, from its header; no weight is read.

    With ``budget``, bytes of main memory, also the largest context that fits into it.
    """

    activity: ClassVar[str] = msg("measuring the model")
    context: int
    gpu_layers: int | None = 0
    budget: int = 0
    flash_attention: bool = True
    """As in ``Load``."""
    kv_type: KvType = "f16"


class CheckAdapter(FileRequest[AdapterChecked, Never], frozen=True, tag="check_adapter"):
    """Whether a GGUF LoRA is for the model in ``base``, from their headers."""

    activity: ClassVar[str] = msg("reading the adapter")
    base: str


class Diagnose(Request[Diagnosis, Never], frozen=True, tag="diagnose"):
    """What llama.cpp is on this machine."""

    activity: ClassVar[str] = msg("examining the machine")


class Cancel(Struct, frozen=True, tag="cancel"):
    """Stop computing request ``request`` now, without an answer; an unknown number is ignored."""

    request: int


AnyRequest = (
    Load
    | Generate
    | Warm
    | SaveCache
    | Forget
    | Count
    | CheckForm
    | ReadPrompt
    | Judge
    | Tokenize
    | Encode
    | WriteTemplate
    | Score
    | WriteLogits
    | TimeLoop
    | TimeAnswer
    | Inspect
    | Measure
    | CheckAdapter
    | Diagnose
)
