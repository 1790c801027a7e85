"""Texts about the model and the conversation: the welcome, the head, the disclaimer."""

from __future__ import annotations

from baize_tui.app.state import ClientState
from baize_tui.chat.chat import Chat
from baize_tui.chat.destination import where_words_go
from baize_tui.chat.formats import UnknownFormat, format_named, system_prompt
from baize_tui.store.records import Conversation

NAME = "白泽 Baize"
START = "Type below and press Enter."
GET_MODEL = (
    "{model} lists models with their size, their licence and whether they fit this machine: enter "
    "downloads one. In the list, f6 adds a GGUF file that you have."
)
OFFLINE = (
    "Nothing is downloaded before you have seen what it takes, and everything else works offline: "
    "you can read, search and copy your conversations."
)


def welcome_text(state: ClientState) -> str:
    """What an empty conversation shows: the model, and the next step."""
    keys = state.keys
    if state.problem:
        help = f"{OFFLINE} {keys['help']} shows all keys."
        return "\n\n".join([state.problem, GET_MODEL.format(model=keys["model"]), help])
    parts = [f"{START} {where_words_go(state.model)}"]
    if state.model is not None:
        recipe = state.model.recipe
        parts = [state.model.title, recipe.description, recipe.notice, *parts]
    parts[0] = f"{NAME} · {parts[0]}"
    parts.append(
        f"{keys['help']} shows all keys, {keys['conversation']} sets the system prompt and "
        f"sampling, {keys['model']} lists the models."
    )
    return "\n\n".join(part for part in parts if part)


def head_text(chat: Chat, conversation: Conversation) -> str:
    """What the model is told before the first turn."""
    try:
        format = format_named(chat.options.prompt_format(conversation))
    except UnknownFormat as error:
        return str(error)
    if format.has_preamble:
        sentence = "with" if conversation.moderation else "without"
        return f"Baize's own preamble, {sentence} its moderation sentence"
    conversation = chat.options.as_trained(conversation)
    return system_prompt(conversation.system, moderation=conversation.moderation)


def disclaimer_text(state: ClientState, conversation: Conversation | None) -> str:
    """The disclaimer of the field that the model was made for; empty if there is none."""
    if conversation is not None:
        domain = state.chat.options.domain(conversation)
    else:
        domain = state.model.recipe.domain if state.model is not None else None
    return domain.disclaimer if domain is not None else ""
