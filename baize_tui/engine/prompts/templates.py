"""Conversations as text: chat templates rendered with stand-ins, ready to be tokenized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from baize_tui.engine.prompts.fragments import MarkedText, SpecialToken, StandIns
from baize_tui.engine.prompts.template_sandbox import TemplateError, run_template, strftime_now
from baize_tui.engine.protocol import Prompt, PromptMessage

_THINK_TAGS = ("<think>", "</think>")
_ZERO_WIDTH_BREAK = "\N{WORD JOINER}"


def _with_system_in_first_turn(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """The system text in front of the first question, for templates without system turns."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, *rest = messages
    for i, message in enumerate(rest):
        if message.role == "user":
            joined = f"{system.content}\n\n{message.content}"
            rest[i] = PromptMessage(role="user", content=joined)
            return rest
    return rest


def break_markers(content: str, markers: Sequence[str]) -> str:
    """``content`` with a zero-width break inside each of the format's plain-text markers."""
    for marker in markers:
        middle = len(marker) // 2
        content = content.replace(marker, marker[:middle] + _ZERO_WIDTH_BREAK + marker[middle:])
    return content


def _ids_to_keep(message: PromptMessage) -> list[int]:
    """The ids for which the template gets a stand-in; none if it gets the text."""
    # Templates cut an answer at its think tags; a stand-in would hide them.
    has_think_tags = any(tag in message.content for tag in _THINK_TAGS)
    return [] if message.role != "assistant" or has_think_tags else message.ids or []


def render(
    prompt: Prompt, source: str, specials: Sequence[SpecialToken], variables: Mapping[str, Any]
) -> MarkedText:
    """Render ``prompt`` with the Jinja template ``source``, ready for ``PromptTokenizer``.

    ``variables`` are added to the prompt's own (``bos_token`` and ``eos_token``). If the template
    refuses the usual form, others are tried: the system text in the first question, typed contents,
    an empty list of tools.

    Raises:
        TemplateError: the template failed, or omitted the last message.
    """
    first_error: TemplateError | None = None
    for form in _forms(prompt.messages):
        try:
            marked = _render_once(prompt, form, source, specials, variables)
        except TemplateError as error:
            first_error = first_error or error
            continue
        if marked is not None:
            return marked
    raise first_error or TemplateError("it omits the last message")


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to pass messages to a template."""

    messages: Sequence[PromptMessage]
    typed: bool = False
    """Contents as ``[{"type": "text", "text": …}]``, for multimodal templates."""
    tools: tuple[()] | None = None
    """None for no tools; a template made for tool use may need an empty list to iterate over."""


def tool_variables() -> dict[str, str]:
    """Variables that firefunction's template requires."""
    return {"functions": "[]", "datetime": strftime_now("%Y-%m-%d %H:%M")}


def _forms(messages: Sequence[PromptMessage]) -> Iterator[_Form]:
    """The usual form first; the others are for templates that refuse it."""
    yield _Form(messages)
    merged = _with_system_in_first_turn(messages)
    if len(merged) != len(messages):
        yield _Form(merged)
    yield _Form(messages, typed=True)
    yield _Form(messages, tools=())


def _render_once(
    prompt: Prompt,
    form: _Form,
    source: str,
    specials: Sequence[SpecialToken],
    variables: Mapping[str, Any],
) -> MarkedText | None:
    """The rendered prompt, or None if it lacks the last message."""
    messages = form.messages
    stand_ins = StandIns([source, *(message.content for message in messages)])
    in_answers = [s for s in specials if s.text not in _THINK_TAGS]
    rows: list[dict[str, Any]] = []
    kept: list[str] = []
    for message in messages:
        content = break_markers(message.content, prompt.markers)
        if ids := _ids_to_keep(message):
            content = stand_ins.keep(ids)
            kept.append(content)
        else:
            guarded = in_answers if message.role == "assistant" else specials
            content = stand_ins.hide(content, guarded)
        body = [{"type": "text", "text": content}] if form.typed else content
        rows.append({"role": message.role, "content": body})
    text = run_template(
        source,
        {
            "messages": rows,
            "add_generation_prompt": True,
            "tools": form.tools if form.tools is None else list(form.tools),
            **(tool_variables() if form.tools is not None else {}),
            **variables,
            **prompt.variables,
        },
    )
    if messages and not _contains(text, rows[-1]["content"]):
        return None
    if any(text.count(char) != 1 for char in kept):
        # The template rewrites or drops earlier answers: pass their text instead of their ids.
        plain = [
            PromptMessage(message.role, message.content)
            if message.ids and text.count(char) != 1
            else message
            for message, char in _pair_answers(messages, kept)
        ]
        return _render_once(prompt, replace(form, messages=plain), source, specials, variables)
    marked = MarkedText(text, stand_ins.hidden, stand_ins.earlier)
    if prompt.partial is not None:
        marked += _partial_answer(prompt.partial, specials, marked)
    return marked


def _pair_answers(
    messages: Sequence[PromptMessage], kept: Sequence[str]
) -> Iterator[tuple[PromptMessage, str]]:
    chars = iter(kept)
    for message in messages:
        if _ids_to_keep(message):
            yield message, next(chars)
        else:
            yield PromptMessage(message.role, message.content), ""


def _contains(text: str, content: str | list[dict[str, str]]) -> bool:
    expected = content if isinstance(content, str) else content[0]["text"]
    return expected.strip() in text


def _partial_answer(
    partial: PromptMessage, specials: Sequence[SpecialToken], before: MarkedText
) -> MarkedText:
    """The partial answer, which follows the rendered prompt ``before``."""
    stand_ins = StandIns([before.text, partial.content])
    if partial.ids:
        char = stand_ins.keep(partial.ids)
        return MarkedText(char, {}, stand_ins.earlier)
    return MarkedText(stand_ins.hide(partial.content, specials), stand_ins.hidden, {})
