"""Texts about the model and the conversation: the welcome, the head, the disclaimer."""

from __future__ import annotations

from baize_shared.sizes import size_text
from baize_tui.app.actions import key_name
from baize_tui.app.state import ClientState
from baize_tui.app.transcript.welcome import Paragraph, WelcomeContents
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.destination import where_words_go
from baize_tui.chat.formats import UnknownFormat, format_named, system_prompt
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

NAME = "白泽 Baize"
START = msg("Type below and press Enter. {where}")
GET_MODEL = msg(
    "{model} lists models with their size, their licence and whether they fit this machine: enter "
    "downloads one. In the list, f6 adds a GGUF file that you have."
)
OFFLINE = msg(
    "Nothing is downloaded before you have seen what it takes, and everything else works offline: "
    "you can read, search and copy your conversations."
)
MODERATED_PREAMBLE = msg("Baize's own preamble, with its moderation sentence")
UNMODERATED_PREAMBLE = msg("Baize's own preamble, without its moderation sentence")
EXAMPLES_TITLE = msg("For example (tab takes it):")
EXAMPLES = (msg("What is the capital of France?"), msg("Write a short poem about the sea."))
_KEYS = (
    ("help", msg("all keys and commands")),
    ("conversation", msg("system prompt and sampling")),
    ("model", msg("other models")),
    ("palette", msg("search the commands")),
)


def welcome_contents(state: ClientState) -> WelcomeContents:
    """What an empty conversation shows: the model, and the next step."""
    name = Paragraph(NAME, "name")
    keys = tuple((key_name(state.keys[action]), tr(what)) for action, what in _KEYS)
    if state.problem:
        get_model = tr(GET_MODEL, model=state.keys["model"])
        texts = (Paragraph(state.problem), Paragraph(get_model), Paragraph(tr(OFFLINE), "dim"))
        return WelcomeContents((name, *texts), keys[:1])
    start = Paragraph(tr(START, where=where_words_go(state.model)))
    if state.model is None:  # it is not found yet
        return WelcomeContents((name, start), keys)
    recipe = state.model.recipe
    about = (
        Paragraph(_model_line(state, state.model), "model", joined=True),
        Paragraph(recipe.description, "dim", joined=True),
        Paragraph(recipe.notice, "warning"),
    )
    paragraphs = (name, *(paragraph for paragraph in about if paragraph.text), start)
    if state.chat.persona is not None:
        persona_name, persona = state.chat.persona
        greeting = f"{persona_name}: {persona.greeting or persona.description}".rstrip(": ")
        return WelcomeContents((*paragraphs, Paragraph(greeting)), keys)
    if recipe.domain is not None:
        return WelcomeContents(paragraphs, keys)
    return WelcomeContents(paragraphs, keys, tr(EXAMPLES_TITLE), tuple(map(tr, EXAMPLES)))


def _model_line(state: ClientState, model: CatalogModel) -> str:
    """The model with its size, and whether it fits once it is loaded."""
    size = model.file_bytes
    if size is None:
        return model.title
    parts = [model.title, size_text(size)]
    if state.chat.active_model.model == model:
        # Imported when used: nothing of this is needed for the first frame.
        from baize_tui.catalog.estimates import estimated_fit
        from baize_tui.catalog.fit import FIT_NAMES, this_machine

        fit = estimated_fit(size, this_machine(state.paths.models_folder))
        parts.append(tr(FIT_NAMES[fit]))
    return " · ".join(parts)


def head_text(chat: Chat, conversation: Conversation) -> str:
    """The persona, and what the model is told before the first turn."""
    persona = f"{conversation.persona}: " if conversation.persona else ""
    return f"{persona}{_told(chat, conversation)}"


def _told(chat: Chat, conversation: Conversation) -> str:
    try:
        format = format_named(chat.options.prompt_format(conversation))
    except UnknownFormat as error:
        return str(error)
    if format.has_preamble:
        return tr(MODERATED_PREAMBLE) if conversation.moderation else tr(UNMODERATED_PREAMBLE)
    conversation = chat.options.as_trained(conversation)
    return system_prompt(conversation.system, moderation=conversation.moderation)


def disclaimer_text(state: ClientState, conversation: Conversation | None) -> str:
    """The disclaimer of the field that the model was made for; empty if there is none."""
    if conversation is not None:
        domain = state.chat.options.domain(conversation)
    else:
        domain = state.model.recipe.domain if state.model is not None else None
    return domain.disclaimer if domain is not None else ""
