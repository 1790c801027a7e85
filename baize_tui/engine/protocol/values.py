"""What requests and events are made of: prompts, headers of files, loaded models, statistics."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from baize_shared.speeds import decoding_speed
from baize_tui.engine.profiles import ProfileName
from baize_tui.settings import KvType

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "context", "cancelled"]
FailureKind = Literal["load", "template", "too_long", "engine", "request"]


class PromptMessage(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation.

    ``ids`` are the tokens that were generated for this text with the same vocabulary: they enter
    the prompt unchanged and are never tokenized again.
    """

    role: Role
    content: str
    ids: list[int] | None = None
    reasoning: str = ""
    """The thought before an answer; the template decides whether the model sees it."""


class Prompt(Struct, frozen=True, omit_defaults=True):
    """A conversation and the Jinja template that turns it into text.

    ``template`` None takes the template of the GGUF file. ``markers`` are plain-text strings that
    the format uses as turn markers: no token protects them, so a zero-width break is inserted into
    each marker that a content contains. ``partial`` is the beginning of an answer to continue.
    ``think`` switches thinking on or off, where the template can; None leaves it to the template.
    """

    messages: list[PromptMessage]
    template: str | None = None
    template_name: str = "the model's own chat template"
    variables: dict[str, Any] = {}
    markers: list[str] = []
    partial: PromptMessage | None = None
    think: bool | None = None


class AdapterUse(Struct, frozen=True):
    """A GGUF LoRA that is applied to the model, and how strongly."""

    path: str
    scale: float = 1.0


class GgufHeader(Struct, frozen=True):
    """The header of a GGUF file; texts are as the file has them, not sanitized.

    Of a model in several files it is that of the first, with the sizes and weights of all.
    """

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
    """Byte at which the weights begin."""
    tensors: int = 0
    problem: str = ""
    """Why this is not a model that can chat, and what to do, in one line; empty if it is one."""


class LoadedModel(Struct, frozen=True):
    """A model that is ready to generate."""

    path: str
    file_bytes: int
    name: str
    description: str
    n_ctx: int
    """Tokens of the context; 0 where a server does not say it."""
    n_ctx_train: int
    n_vocab: int
    threads: int
    """The most threads that write answers: a fixed count, or as many as the machine allows."""
    threads_batch: int
    """The same for reading prompts."""
    gpu_layers: int
    tokenizer: str
    """Fingerprint of the vocabulary: ids generated under one are meaningless under another."""
    has_template: bool
    backend: str
    """Versions of llama-cpp-python and llama.cpp."""
    profile: ProfileName | Literal[""] = ""
    """The machine profile that the model was loaded under."""
    flash_attention: bool = True
    kv_type: KvType = "f16"
    draft: str = ""
    """The file of the draft model that guesses tokens; empty for none."""
    draft_problem: str = ""
    """Why there is none, although one was given, in one line."""
    begin: list[int] = []
    """Ids in front of every text: a BOS, if the vocabulary wants one."""
    can_switch_thinking: bool = True
    """Whether its chat template mentions a switch for thinking."""
    prompt_format: str = ""
    """The prompt format that the file names (``baize.prompt_format``)."""
    system: str | None = None
    """The system prompt that the model was trained with (``baize.system``)."""
    stop: list[str] = []
    """Strings that end an answer, as the file says (``baize.stop``)."""
    can_cut_cache: bool = True
    """Whether tokens can be removed from the end of its KV cache, and the rest stays."""
    counts_are_estimates: bool = False
    """Whether tokens can only be estimated before the answer; a server has the vocabulary."""


class Stats(Struct, frozen=True):
    """What one answer took: counts in tokens, times in seconds."""

    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_s: float
    prefill_s: float
    decode_s: float
    seed: int
    threads: int
    """The thread count that most tokens were written with."""
    threads_batch: int
    lowered: bool = False
    """Whether fewer threads were used at the end because the machine was busy."""
    profile: ProfileName | Literal[""] = ""
    """The machine profile that the answer was finished under."""
    thinking_tokens: int = 0
    """Those of ``completion_tokens`` that are the thought."""
    resumed_tokens: int = 0
    """Tokens of the answer from a worker that died; the times do not include them."""
    guessed_tokens: int = 0
    """Tokens that prompt lookup or a draft model guessed, and that were computed."""
    accepted_tokens: int = 0
    """Those of them that were right."""
    shifted: bool = False
    """Whether the KV cache had been shifted, for this answer or one before."""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed: tokens after the first, over the time from the first to the last."""
        return decoding_speed(self.completion_tokens - self.resumed_tokens, self.decode_s)
