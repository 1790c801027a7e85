"""The registry of prompt formats, and how a conversation becomes a prompt in one of them.

A format is a Jinja template with its stop strings: the model's own chat template from the GGUF
file, or one of ``models/formats/*.toml``. All are rendered by the same code (``engine.templates``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_shared.shipped_models import OWN_TEMPLATE, format_files
from baize_shared.toml_files import read_toml
from baize_tui.engine.protocol import LoadedModel, Prompt, PromptMessage
from baize_tui.settings import DEFAULT_SYSTEM
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

MODERATION = (
    "Decline to engage with topics, questions and instructions related to unethical, "
    "controversial, or sensitive issues."
)
"""The meaning of Baize's moderation sentence, for the system prompt of other models."""


SUMMARY_LABEL = "The first part of this conversation is left out. Its summary:"
"""What stands before a summary in the system prompt."""


class UnknownFormat(OneLineError):
    """No prompt format has this name."""


class PromptFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """How turns become text; ``template`` None uses the one in the GGUF file."""

    description: str
    template: str | None = None
    stop: list[str] = []
    markers: list[str] = []
    """Plain-text turn markers; a zero-width break is inserted into one that a person typed."""
    trim_at_stop: bool = False
    has_preamble: bool = False
    """Whether the template has its own system prompt, including the moderation sentence."""


@cache
def formats() -> dict[str, PromptFormat]:
    """All prompt formats by name."""
    by_name = {OWN_TEMPLATE: PromptFormat("the chat template in the model file")}
    for name, file in format_files().items():
        by_name[name] = read_toml(file, PromptFormat, clean=False)
    return by_name


NO_SUCH_FORMAT = msg("no prompt format is called {name}; known: {known}")


def format_named(name: str) -> PromptFormat:
    """The format ``name``.

    Raises:
        UnknownFormat: there is none; the message lists all formats.
    """
    known = formats()
    if name not in known:
        raise UnknownFormat(tr(NO_SUCH_FORMAT, name=repr(name), known=", ".join(known)))
    return known[name]


def fallback_format(*, has_template: bool) -> str:
    """Name of the format if none is chosen: the model's own template, or ChatML without one."""
    return OWN_TEMPLATE if has_template else "chatml"


def format_of_model(recipe_format: str | None, loaded: LoadedModel) -> str:
    """Name of the format of a model, without a choice of the person: that of its recipe, that of
    its file, or ``fallback_format``."""
    if recipe_format is not None:
        return recipe_format
    if loaded.prompt_format in formats():
        return loaded.prompt_format
    return fallback_format(has_template=loaded.has_template)


def system_prompt(system: str, *, moderation: bool) -> str:
    """The system turn of a format without its own preamble; may be empty."""
    return f"{system.strip()} {MODERATION if moderation else ''}".strip()


def system_turn(format: PromptFormat, system: str, *, moderation: bool) -> str:
    """What the system turn of ``format`` says; empty if there is none."""
    if format.has_preamble:
        return "" if system.strip() == DEFAULT_SYSTEM else system.strip()
    return system_prompt(system, moderation=moderation)


def build_prompt(
    name: str,
    history: Sequence[Message],
    *,
    system: str,
    moderation: bool,
    tokenizer: str,
    partial: Message | None = None,
    think: bool | None = None,
    summary: str = "",
) -> Prompt:
    """The prompt for the next answer after ``history``, in the format ``name``.

    Answers that were generated with the vocabulary ``tokenizer`` keep their token ids. ``partial``
    is an answer to continue. ``think`` switches thinking on or off where the template can.
    ``summary`` is of what was said before ``history``.

    Raises:
        UnknownFormat: there is no format ``name``.
    """
    return prompt_from_turns(
        name,
        [_turn(message, tokenizer) for message in history],
        system=system,
        moderation=moderation,
        partial=_turn(partial, tokenizer) if partial is not None else None,
        think=think,
        summary=summary,
    )


def prompt_from_turns(
    name: str,
    turns: Iterable[PromptMessage],
    *,
    system: str,
    moderation: bool,
    partial: PromptMessage | None = None,
    think: bool | None = None,
    summary: str = "",
) -> Prompt:
    """The prompt of these turns, the same in a chat and in training.

    A ``summary`` is a part of the system prompt: where a template has none, that is a part of the
    first question.

    Raises:
        UnknownFormat: there is no format ``name``.
    """
    chosen = format_named(name)
    told = system_turn(chosen, system, moderation=moderation)
    texts = [told, f"{SUMMARY_LABEL}\n{summary.strip()}" if summary.strip() else ""]
    text = "\n\n".join(text for text in texts if text)
    messages = [PromptMessage("system", text)] if text else []
    messages.extend(turns)
    return Prompt(
        messages=messages,
        template=chosen.template,
        template_name=(
            tr("the model's own chat template")
            if chosen.template is None
            else tr("the prompt format {name}", name=name)
        ),
        variables={"moderation": moderation},
        markers=list(chosen.markers),
        partial=partial,
        think=think,
    )


def _turn(message: Message, tokenizer: str) -> PromptMessage:
    ids = message.ids if message.tokenizer == tokenizer else None
    return PromptMessage(message.role, message.text, ids or None, message.reasoning)
