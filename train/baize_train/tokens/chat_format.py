"""How turns become a prompt, for training and for the chat client alike."""

from __future__ import annotations

import contextlib

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.shipped_models import OWN_TEMPLATE
from baize_train.errors import TrainError
from baize_tui.chat.formats import UnknownFormat, format_named
from baize_tui.engine.llama.model import Model
from baize_tui.settings import Settings


class ChatFormat(Struct, frozen=True):
    """A prompt format with its template and system prompt."""

    name: str
    """In the registry of prompt formats."""
    template: str
    """Jinja source; the model's own if the format is ``template``."""
    system: str
    moderation: bool


def choose_chat_format(model: Model, name: str | None, system: str | None = None) -> ChatFormat:
    """The format ``name``, or the model's own if None. ``system`` None is the one
    that the model was trained with, else the chat client's.

    Raises:
        TrainError: there is no such format, or the model has no template of its own.
    """
    name = name or model.metadata("baize.prompt_format") or OWN_TEMPLATE
    try:
        chosen = format_named(name)
    except UnknownFormat as error:
        raise TrainError(str(error)) from error
    template = chosen.template if chosen.template is not None else model.chat_template
    if not template:
        raise TrainError(
            f"{model.metadata('general.name') or model.path} has no chat template: choose a prompt "
            "format with --format, such as chatml, or baize for LLaMA"
        )
    chat = Settings().chat
    if system is None:
        with contextlib.suppress(*JSON_ERRORS):
            system = msgspec.json.decode(model.metadata("baize.system"), type=str)
    return ChatFormat(name, template, chat.system if system is None else system, chat.moderation)
