"""What a server says about itself: its models, the size of the context, which program it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
import openai
from msgspec import Struct

from baize_shared.sanitizer import clean_line, without_surrogates
from baize_shared.server_address import ServerAddress
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.remote.http_client import get_json
from baize_tui.engine.remote.server_faults import SERVER_ERRORS, ServerFaults, count_in
from baize_tui.translation import msg, tr

ServerKind = Literal["openai", "vllm", "llama.cpp", "ollama", "other"]
"""Which program answers, as far as it decides what may be asked of it."""

_ASK_S = 20.0
"""How long a question about the server may take."""
_MOST_LISTED = 12
_LONGEST_NAME = 300
_NO_LIST = (404, 405, 501)
"""Statuses of a server that has no list of models."""
_CONTEXT_FIELDS = ("max_model_len", "context_length", "max_context_length", "context_window")
_OWNERS: dict[str, ServerKind] = {"vllm": "vllm", "llamacpp": "llama.cpp", "library": "ollama"}


class ServerFacts(Struct, frozen=True):
    """A server, ready to be asked."""

    address: ServerAddress
    """With the name of the model."""
    kind: ServerKind
    n_ctx: int
    """Tokens of the context; 0 if the server does not say it."""


async def find_facts(
    client: openai.AsyncOpenAI, address: ServerAddress, faults: ServerFaults
) -> ServerFacts:
    """The facts about the model of ``address``, or about the only one.

    Raises:
        EngineFailure: the server does not answer, or has no such model; the line lists its models.
    """
    faults = msgspec.structs.replace(faults, silence_s=_ASK_S)
    entry = _choose(await _list_models(client, address, faults), address)
    if entry is not None:
        address = address.with_model(_name(entry))
    kind = _kind_from(entry, address)
    n_ctx = _context_in(entry) if entry is not None else 0
    root = address.url.removesuffix("/v1")
    if kind in ("llama.cpp", "other") and (size := await _ask_llama_server(client, root)):
        return ServerFacts(address, "llama.cpp", size)
    if kind in ("ollama", "other") and not n_ctx:
        found = await _ask_ollama(client, root, address.model)
        if found is not None:
            return ServerFacts(address, "ollama", found)
    return ServerFacts(address, kind, n_ctx)


# --- models -------------------------------------------------------------------------------------


class _Models(Struct, frozen=True):
    """The entries of ``/models``."""

    entries: Sequence[Mapping[str, Any]]
    is_part: bool = False
    """Whether the server has others: on further pages, or as Azure, which lists what could be
    deployed, and not the names of what is."""


async def _list_models(
    client: openai.AsyncOpenAI, address: ServerAddress, faults: ServerFaults
) -> _Models:
    """What ``/models`` lists; nothing where the server has no list, but the model is named."""
    try:
        answer = without_surrogates(await get_json(client, "/models", _ASK_S))
    except SERVER_ERRORS as error:
        status, body = getattr(error, "status_code", 0), getattr(error, "body", None)
        # A key of OpenAI may be restricted to questions.
        is_hidden = status == 403 and "scope" in faults.reason_in(body)
        if address.model and (status in _NO_LIST or is_hidden):
            return _Models([])
        raise faults.failure(error, "load") from error
    fields = answer if isinstance(answer, Mapping) else {"data": answer}  # Together sends a list
    data = fields.get("data", "")
    if data is None and fields is answer:  # Ollama without a model
        data = []
    if not isinstance(data, list):
        is_html = isinstance(answer, str) and answer.lstrip().startswith("<")
        raise faults.no_answer("html" if is_html else "", "load")
    entries = [entry for entry in data if isinstance(entry, Mapping) and _name(entry)]
    is_azure = any("lifecycle_status" in entry for entry in entries)
    return _Models(entries, is_part=is_azure or fields.get("has_more") is True)


NO_SUCH_MODEL = msg("{host} has no model {name}; it has {known}")
CHOOSE_MODEL = msg("choose a model of {host}, as in {first}: {known}")


def _choose(listed_models: _Models, address: ServerAddress) -> Mapping[str, Any] | None:
    """The entry of the model of ``address``, or the only one; None for a model that is named where
    the list is empty or has further pages.

    Raises:
        EngineFailure: there is no such model, or there are several and none is named.
    """
    wanted, models = address.model, listed_models.entries
    is_only = len(models) == 1 and not listed_models.is_part
    for entry in models:
        if _name(entry) in (wanted, f"{wanted}:latest") or (not wanted and is_only):
            return entry
    for entry in models:
        if wanted and _stands_for(_name(entry), wanted):
            return {**entry, "id": wanted}
    if wanted and (not models or listed_models.is_part):
        return None
    if not models:
        raise EngineFailure(tr("{host} has no model", host=address.host), "load")
    names = [clean_line(_name(entry), 80) for entry in models[:_MOST_LISTED]]
    listed = ", ".join(names)
    if len(models) > len(names):
        listed = tr("{names} and {count} more", names=listed, count=len(models) - len(names))
    if wanted:
        why = tr(NO_SUCH_MODEL, host=address.host, name=clean_line(wanted), known=listed)
    else:
        first = f"{address.spec}#{names[0]}"
        why = tr(CHOOSE_MODEL, host=address.host, first=first, known=listed)
    raise EngineFailure(why, "load")


def _stands_for(listed: str, wanted: str) -> bool:
    """Whether ``wanted`` is one of the names that ``listed`` stands for.

    LiteLLM lists patterns, as in ``openai/*``. OpenRouter and Hugging Face take the name of a model
    with a way to reach it, as in ``name:nitro``.
    """
    if "*" in listed:
        return fnmatchcase(wanted, listed.replace("[", "[[]"))
    return wanted.startswith(f"{listed}:")


def _name(entry: Mapping[str, Any]) -> str:
    """The name of a model; empty if it cannot be shown as it is."""
    name = entry.get("id")
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    return name if clean_line(name, _LONGEST_NAME) == name else ""


def _kind_from(entry: Mapping[str, Any] | None, address: ServerAddress) -> ServerKind:
    if address.host == "api.openai.com":
        return "openai"
    owner = entry.get("owned_by") if entry is not None else ""
    return _OWNERS.get(owner, "other") if isinstance(owner, str) else "other"


# --- the context --------------------------------------------------------------------------------


def _context_in(entry: Mapping[str, Any]) -> int:
    for field in _CONTEXT_FIELDS:
        if n_ctx := count_in(entry.get(field)):
            return n_ctx
    meta = entry.get("meta")
    if not isinstance(meta, Mapping):
        return 0
    return count_in(meta.get("n_ctx")) or count_in(meta.get("n_ctx_train"))


async def _ask_llama_server(client: openai.AsyncOpenAI, root: str) -> int:
    """The context of one slot of llama-server; 0 for another program."""
    try:
        props = await get_json(client, f"{root}/props", _ASK_S)
    except SERVER_ERRORS:
        return 0
    settings = props.get("default_generation_settings") if isinstance(props, Mapping) else None
    return count_in(settings.get("n_ctx")) if isinstance(settings, Mapping) else 0


async def _ask_ollama(client: openai.AsyncOpenAI, root: str, model: str) -> int | None:
    """The context of a model in Ollama, 0 for unknown; None for another program.

    The parameter ``num_ctx`` is what it runs with. Without it, Ollama takes a default that it does
    not tell, and the length that the model was trained with is the most.
    """
    try:
        shown = await client.post(
            f"{root}/api/show", cast_to=object, body={"model": model}, options={"timeout": _ASK_S}
        )
    except SERVER_ERRORS:
        return None
    if not isinstance(shown, Mapping) or "model_info" not in shown:
        return None
    parameters, info = shown.get("parameters"), shown.get("model_info")
    for line in parameters.splitlines() if isinstance(parameters, str) else []:
        name, _, value = line.partition(" ")
        if name == "num_ctx" and value.strip().isdecimal() and len(value.strip()) < 10:
            return count_in(int(value))
    lengths = info.items() if isinstance(info, Mapping) else ()
    return max((count_in(v) for k, v in lengths if str(k).endswith(".context_length")), default=0)
