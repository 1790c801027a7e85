"""A request for an answer, as the chat completions interface of a server takes it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import Generate, Prompt
from baize_tui.engine.remote.server_facts import ServerFacts
from baize_tui.output_forms import OutputForm
from baize_tui.settings import Sampling
from baize_tui.shared_texts import NAMED
from baize_tui.translation import msg, tr

Extent = Literal["all", "common", "least"]
"""How much is sent: all that the program should know, only what the interface has, or the messages
alone. Servers refuse options that they do not know."""

NARROWER: dict[Extent, Extent | None] = {"all": "common", "common": "least", "least": None}
_MOST_STOPS = 4
"""More are refused; the rest is found here."""
_LLAMA_CPP = (
    *("top_k", "min_p", "repeat_penalty", "dry_multiplier", "dry_base", "dry_allowed_length"),
    *("dry_penalty_last_n", "xtc_probability", "xtc_threshold", "mirostat", "mirostat_tau"),
    "mirostat_eta",
)
_COMMON = {"temperature", "top_p", "frequency_penalty", "presence_penalty", "seed"}
_RENAMED = {
    "llama.cpp": {name: name for name in _LLAMA_CPP} | {"penalty_last_n": "repeat_last_n"},
    "vllm": {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    "ollama": {},
    "openai": {},
    "other": {"top_k": "top_k", "min_p": "min_p"},
}
"""What a program calls the sampling options that not every server has."""


def request_body(
    request: Generate, facts: ServerFacts, extent: Extent, max_tokens: int
) -> dict[str, Any]:
    """The JSON of a request that is streamed.

    Raises:
        EngineFailure: the server cannot do what is asked: an adapter, a grammar, continuing.
    """
    body: dict[str, Any] = {
        "model": facts.address.model,
        "messages": _messages(request.prompt),
        "stream": True,
    }
    body |= _form(request, facts) | _continuing(request.prompt, facts) | _no_adapters(request)
    if extent == "least":
        return body | {"max_completion_tokens": max_tokens}
    name = "max_completion_tokens" if facts.kind == "openai" else "max_tokens"
    body |= {name: max_tokens, "stream_options": {"include_usage": True}}
    body |= _common_sampling(request.sampling)
    if request.stop:
        body["stop"] = request.stop[:_MOST_STOPS]
    if extent == "all":
        body |= _own_sampling(request.sampling, facts) | _thinking(request.prompt, facts)
    return body


def unsent_options(sampling: Sampling, facts: ServerFacts, extent: Extent) -> list[str]:
    """Sampling options that differ from the defaults and that the server does not get."""
    sent = set() if extent == "least" else set(_COMMON)
    if extent == "all":
        sent |= _RENAMED[facts.kind].keys()
    given, default = msgspec.structs.asdict(sampling), msgspec.structs.asdict(Sampling())
    return [name for name in given if given[name] != default[name] and name not in sent | {"seed"}]


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    messages = [*prompt.messages]
    if prompt.partial is not None and prompt.partial.content:
        messages.append(prompt.partial)
    return [{"role": message.role, "content": message.content} for message in messages]


def _common_sampling(sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.seed is not None:
        options["seed"] = sampling.seed
    for name in ("frequency_penalty", "presence_penalty"):
        if value := getattr(sampling, name):
            options[name] = value
    return options


def _own_sampling(sampling: Sampling, facts: ServerFacts) -> dict[str, Any]:
    values = msgspec.structs.asdict(sampling)
    options = {theirs: values[ours] for ours, theirs in _RENAMED[facts.kind].items()}
    if facts.kind != "llama.cpp" and options.get("top_k") == 0:
        del options["top_k"]  # 0 keeps all here, and is refused there
    return options


def _thinking(prompt: Prompt, facts: ServerFacts) -> dict[str, Any]:
    if prompt.think is None or not can_switch_thinking(facts):
        return {}
    return {"chat_template_kwargs": {"enable_thinking": prompt.think}}


def can_switch_thinking(facts: ServerFacts) -> bool:
    return facts.kind in ("llama.cpp", "vllm")


NO_REGEX = msg("{host} takes no regular expression: ask without one, or a model on this computer")
NO_GRAMMAR = msg("{host} takes no grammar: ask without one, or a model on this computer")


def form_body(form: OutputForm | None, grammar: str, facts: ServerFacts) -> dict[str, Any]:
    """The part of a request that asks for ``form``, whose GBNF is ``grammar``; None for a grammar
    that was made from nothing else.

    Raises:
        EngineFailure: the server has no way to be asked for it, or it is not JSON.
    """
    kind = form.kind if form is not None else "grammar"
    if form is not None and form.is_json:
        return {"response_format": _response_format(form)}
    if facts.kind == "llama.cpp":
        return {"grammar": grammar}
    if facts.kind == "vllm" and form is not None and kind == "regex":
        return {"structured_outputs": {"regex": form.source}}
    if facts.kind == "vllm":
        return {"structured_outputs": {"grammar": grammar}}
    refused = NO_REGEX if kind == "regex" else NO_GRAMMAR
    raise EngineFailure(tr(refused, host=facts.address.host), "request")


def _response_format(form: OutputForm) -> dict[str, Any]:
    if form.kind == "json":
        return {"type": "json_object"}
    try:
        schema = msgspec.json.decode(form.source)
    except JSON_ERRORS as error:  # such as NaN, which Python's reader takes
        name = form.name or tr("the JSON schema")
        raise EngineFailure(tr(NAMED, name=name, why=error), "request") from error
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _form(request: Generate, facts: ServerFacts) -> dict[str, Any]:
    return form_body(request.form, request.grammar, facts) if request.grammar else {}


def _continuing(prompt: Prompt, facts: ServerFacts) -> dict[str, Any]:
    if prompt.partial is None or not prompt.partial.content:
        return {}
    if facts.kind == "vllm":
        return {"continue_final_message": True, "add_generation_prompt": False}
    if facts.kind in ("llama.cpp", "ollama"):  # they continue a last message of the assistant
        return {}
    raise EngineFailure(
        tr("{host} cannot continue an answer: ask for another one", host=facts.address.host),
        "request",
    )


NO_ADAPTERS = msg(
    "an adapter needs a model on this computer: switch it off, or choose another model"
)


def _no_adapters(request: Generate) -> dict[str, Any]:
    if request.adapters:
        raise EngineFailure(tr(NO_ADAPTERS), "request")
    return {}
