"""Conversations as text: chat templates rendered with stand-ins, ready to be tokenized."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec

from baize_tui.engine.prompts.fragments import MarkedText, SpecialToken, StandIns
from baize_tui.engine.prompts.reasoning_styles import STYLES
from baize_tui.engine.prompts.roles import shapes
from baize_tui.engine.prompts.template_sandbox import TemplateError, run_template, strftime_now
from baize_tui.engine.protocol import Prompt, PromptMessage
from baize_tui.translation import tr

_THINK_TAGS = tuple(
    tag
    for style in STYLES
    if not (style.spoken or style.has_channels)
    for tag in style.opens + style.closes
    if not tag[-1].isalpha()
)
_SPELLED_TAGS = [SpecialToken(-1, tag, control=False) for tag in _THINK_TAGS]
_ZERO_WIDTH_BREAK = "\N{WORD JOINER}"
_PROBE = "\U0010fff0"
"""With the characters after it, stands for the contents of a probe."""
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "thought")
"""Fields of a message in which templates look for the thought before an answer."""


def break_markers(content: str, markers: Sequence[str]) -> str:
    """``content`` with a zero-width break inside each of the format's plain-text markers."""
    for marker in markers:
        middle = len(marker) // 2
        content = content.replace(marker, marker[:middle] + _ZERO_WIDTH_BREAK + marker[middle:])
    return content


def _is_raw(message: PromptMessage) -> bool:
    """Whether an answer still has its thought in it, for the template to cut off."""
    return message.role == "assistant" and message.content.lstrip().startswith(_THINK_TAGS)


def _ids_to_keep(message: PromptMessage) -> list[int]:
    """The ids for which the template gets a stand-in; none if it gets the text."""
    # Templates cut an answer at its think tags; a stand-in would hide them.
    return [] if message.role != "assistant" or _is_raw(message) else message.ids or []


def render(
    prompt: Prompt, source: str, specials: Sequence[SpecialToken], variables: Mapping[str, Any]
) -> MarkedText:
    """Render ``prompt`` with the Jinja template ``source``, ready for ``PromptTokenizer``.

    ``variables`` are added to the prompt's own (``bos_token`` and ``eos_token``). If the template
    refuses the usual form, or ignores the system text, others are tried: the system text in the
    first question, typed contents, an empty list of tools.

    Raises:
        TemplateError: the template failed, or omitted the last message.
    """
    template = _Template(source, specials, variables)
    refusals: list[TemplateError] = []
    incomplete: MarkedText | None = None
    for form in _forms(prompt.messages):
        try:
            marked = template.render(prompt, form)
        except TemplateError as error:
            if form.is_plain:
                refusals.append(error)
            continue
        shown = template.shown(prompt, form, marked.text)
        roles = [message.role for message in form.messages]
        if all(there or role == "assistant" for there, role in zip(shown, roles, strict=True)):
            return template.with_partial(prompt, marked)
        if incomplete is None and shown[-1]:
            incomplete = marked
    if incomplete is not None:
        return template.with_partial(prompt, incomplete)
    raise _reason(refusals)


def render_end(
    prompt: Prompt, source: str, specials: Sequence[SpecialToken], variables: Mapping[str, Any]
) -> str:
    """What the template writes after the last message of ``prompt``: the beginning of the answer.

    Raises:
        TemplateError: the template failed.
    """
    if not prompt.messages:
        return ""
    *before, last = prompt.messages
    marked = PromptMessage(last.role, last.content + _PROBE)
    probe = msgspec.structs.replace(prompt, messages=[*before, marked], partial=None)
    return render(probe, source, specials, variables).text.rpartition(_PROBE)[2]


def answer_lead(source: str, variables: Mapping[str, Any]) -> str:
    """The blanks that the template writes between the prompt for an answer and the answer.

    Llama 2's and Vicuna's write a space there, which their models generate as a part of the first
    word.
    """
    try:
        return _answer_lead(source, tuple(sorted(variables.items())))
    except TypeError:  # a variable that cannot be hashed, or has a name that is no text
        return ""


@lru_cache(maxsize=8)
def _answer_lead(source: str, variables: tuple[tuple[str, Any], ...]) -> str:
    question = {"role": "user", "content": "?"}
    answer = {"role": "assistant", "content": _PROBE}
    shared = {**dict(variables), "add_generation_prompt": True, "tools": None}
    try:
        asked = run_template(source, {**shared, "messages": [question]})
        answered = run_template(source, {**shared, "messages": [question, answer, question]})
    except TemplateError:
        return ""
    before, found, _ = answered.partition(_PROBE)
    lead = before.removeprefix(asked)
    return lead if found and before.startswith(asked) and lead.isspace() else ""


def _reason(refusals: Sequence[TemplateError]) -> TemplateError:
    """Why a template refused a conversation: what it said itself about the form that suited it
    best, the last one."""
    said = [error for error in refusals if error.raised_by_template]
    return (said[-1:] or refusals[:1] or [TemplateError(tr("it omits the last message"))])[0]


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to pass messages to a template."""

    messages: Sequence[PromptMessage]
    typed: bool = False
    """Contents as ``[{"type": "text", "text": …}]``, for multimodal templates."""
    tools: tuple[()] | None = None
    """None for no tools; a template made for tool use may need an empty list to iterate over."""

    @property
    def is_plain(self) -> bool:
        return not self.typed and self.tools is None


def tool_variables() -> dict[str, str]:
    """Variables that firefunction's template requires."""
    return {"functions": "[]", "datetime": strftime_now("%Y-%m-%d %H:%M")}


def _forms(messages: Sequence[PromptMessage]) -> Iterator[_Form]:
    """The usual form first; the others are for templates that refuse it."""
    for shape in shapes(messages):
        yield _Form(shape)
        yield _Form(shape, typed=True)
        yield _Form(shape, tools=())


@dataclass(frozen=True, slots=True)
class _Template:
    """A template with what it is rendered with."""

    source: str
    specials: Sequence[SpecialToken]
    variables: Mapping[str, Any]

    def render(self, prompt: Prompt, form: _Form) -> MarkedText:
        """What it writes for ``prompt`` in this form.

        Raises:
            TemplateError: it failed.
        """
        messages = form.messages
        texts = (text for message in messages for text in (message.content, message.reasoning))
        stand_ins = StandIns([self.source, *texts])
        rows: list[dict[str, Any]] = []
        kept: list[str] = []
        for message in messages:
            content = break_markers(message.content, prompt.markers)
            if ids := _ids_to_keep(message):
                content = stand_ins.keep(ids)
                kept.append(content)
            else:
                content = stand_ins.hide(content, self._guarded(message))
            thought = stand_ins.hide(message.reasoning, [*self.specials, *_SPELLED_TAGS])
            rows.append(_row(message, content, thought, self.source, typed=form.typed))
        text = self._run(prompt, form, rows)
        if all(text.count(char) == 1 for char in kept):
            if kept and (lead := answer_lead(self.source, {**self.variables, **prompt.variables})):
                # It was generated: kept ids follow the prompt at once, and begin with it.
                for char in kept:
                    text = text.replace(lead + char, char)
            return MarkedText(text, stand_ins.hidden, stand_ins.earlier)
        # The template rewrites or drops earlier answers: pass their text instead of their ids.
        plain = [
            msgspec.structs.replace(message, ids=None)
            if message.ids and text.count(char) != 1
            else message
            for message, char in _pair_answers(messages, kept)
        ]
        return self.render(prompt, replace(form, messages=plain))

    def _guarded(self, message: PromptMessage) -> Sequence[SpecialToken]:
        """What the template must not see in the content of ``message``."""
        if message.role != "assistant":
            return self.specials
        if _is_raw(message):
            return [special for special in self.specials if special.text not in _THINK_TAGS]
        # Its thought is known and stands apart: a tag in the answer only mentions it.
        return [*self.specials, *_SPELLED_TAGS]

    def _run(self, prompt: Prompt, form: _Form, rows: Sequence[Mapping[str, Any]]) -> str:
        return run_template(
            self.source,
            {
                "messages": rows,
                "add_generation_prompt": True,
                "tools": form.tools if form.tools is None else list(form.tools),
                **(tool_variables() if form.tools is not None else {}),
                **self.variables,
                **prompt.variables,
            },
        )

    def shown(self, prompt: Prompt, form: _Form, text: str) -> list[bool]:
        """Which messages are in ``text``, which was written in this form."""
        shown = [message.content.strip() in text for message in form.messages]
        if all(shown):
            return shown
        # Thoughts are cut off, a stand-in hides a part of a content, or the template changes one:
        # try with a single character in place of each.
        probes = [chr(ord(_PROBE) + i % 8) for i in range(len(form.messages))]
        rows = [
            _row(message, probe, "", self.source, typed=form.typed)
            for message, probe in zip(form.messages, probes, strict=True)
        ]
        try:
            probed = self._run(prompt, form, rows)
        except TemplateError:
            return shown
        return [known or probe in probed for known, probe in zip(shown, probes, strict=True)]

    def with_partial(self, prompt: Prompt, marked: MarkedText) -> MarkedText:
        """``marked`` with the partial answer of ``prompt`` after it."""
        if prompt.partial is None:
            return marked
        return marked + _partial_answer(prompt.partial, self.specials, marked)


def _row(
    message: PromptMessage, content: str, thought: str, source: str, *, typed: bool
) -> dict[str, Any]:
    """``message`` as templates read it, with this content and thought."""
    row: dict[str, Any] = {"role": message.role, "content": content}
    if message.role == "assistant":
        fields = _reasoning_fields(source)
        # An empty one tells the template that no thought is in the content.
        row |= {field: thought for field in fields if thought or field == "reasoning_content"}
        if thought and "reasoning_content" not in fields and _reads_typed_thoughts(source):
            row["content"] = [
                {"type": "thinking", "thinking": thought},
                {"type": "text", "text": content},
            ]
            return row
    if typed:
        row["content"] = [{"type": "text", "text": content}]
    return row


@lru_cache(maxsize=8)
def _reasoning_fields(source: str) -> tuple[str, ...]:
    """The fields of a message from which the template takes a thought."""
    return tuple(
        field
        for field in _REASONING_FIELDS
        if re.search(rf"""\w(\.|\[['"]|\.get\(['"]){field}\b(?!['"]?\s*\()""", source)
        or re.search(rf"""['"]{field}['"]\s+in\s+\w""", source)
    )


@lru_cache(maxsize=8)
def _reads_typed_thoughts(source: str) -> bool:
    return re.search(r"""['"]type['"]\]\s*==\s*['"]thinking['"]""", source) is not None


def _pair_answers(
    messages: Sequence[PromptMessage], kept: Sequence[str]
) -> Iterator[tuple[PromptMessage, str]]:
    chars = iter(kept)
    for message in messages:
        if _ids_to_keep(message):
            yield message, next(chars)
        else:
            yield msgspec.structs.replace(message, ids=None), ""


def _partial_answer(
    partial: PromptMessage, specials: Sequence[SpecialToken], before: MarkedText
) -> MarkedText:
    """The partial answer, which follows the rendered prompt ``before``."""
    stand_ins = StandIns([before.text, partial.content])
    if partial.ids:
        char = stand_ins.keep(partial.ids)
        return MarkedText(char, {}, stand_ins.earlier)
    return MarkedText(stand_ins.hide(partial.content, specials), stand_ins.hidden, {})
