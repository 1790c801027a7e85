"""Chat templates: sandboxed Jinja, as Hugging Face models carry them in their GGUF.

A template is an untrusted program. It runs in the worker process, in Jinja's immutable sandbox,
with limits on the size of single operations and on memory. The client ends a template that loops by
killing the worker: no limit inside the process can stop a loop in C.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from baize_tui.engine.fragments import MarkedText, SpecialToken, StandIns
from baize_tui.engine.protocol import Prompt, PromptMessage

LARGEST_OUTPUT = 32 * 1024 * 1024
"""Characters that a template may write, several times a context of a million tokens."""
_MOST_MEMORY = 1024 * 1024 * 1024
_LARGEST_REPEAT = 1_000_000
_LARGEST_POWER_BITS = 4096
_THINK_TAGS = ("<think>", "</think>")
_ZERO_WIDTH_BREAK = "\N{WORD JOINER}"


class TemplateError(Exception):
    """A chat template failed; the message is one line that says why."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which also refuses to build huge values in one operation."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > _LARGEST_POWER_BITS:
                raise SecurityError("a power too large to compute")
        elif operator == "*":
            for count, value in ((left, right), (right, left)):
                if isinstance(count, int) and isinstance(value, str | bytes | list | tuple):
                    if count * len(value) > _LARGEST_REPEAT:
                        raise SecurityError("a text too long to repeat")
                elif (
                    isinstance(count, int)
                    and isinstance(value, int)
                    and count.bit_length() + value.bit_length() > _LARGEST_POWER_BITS
                ):
                    raise SecurityError("a product too large to compute")
        elif operator == "%" and isinstance(left, str):
            raise SecurityError("printf-style formatting")
        return super().call_binop(context, operator, left, right)


class _Generation(Extension):
    """``{% generation %}`` of transformers: marks the answer for training, prints its body."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _limit_width(method: Callable[..., str]) -> Callable[..., str]:
    def pad(value: str, width: int = 80, *rest: Any, **named: Any) -> str:
        if isinstance(width, int) and width > _LARGEST_REPEAT:
            raise SecurityError("a text too wide to pad")
        return method(value, width, *rest, **named)

    return pad


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)


def _environment() -> _Sandbox:
    # The options of transformers' utils/chat_template_utils.py.
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[loopcontrols, _Generation],
    )
    environment.filters["tojson"] = _to_json
    for name in ("center", "indent"):
        environment.filters[name] = _limit_width(environment.filters[name])
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


@lru_cache(maxsize=8)
def _compile(source: str) -> jinja2.Template:
    return _environment().from_string(source)


_is_limited = False


@contextmanager
def memory_limit() -> Iterator[None]:
    """Limit what this process may allocate inside the block; mapped model files do not count.

    A nested limit has no effect, so a caller that renders many prompts can set it once.
    """
    global _is_limited
    if _is_limited:
        yield
        return
    _is_limited = True
    try:
        with _data_limit():
            yield
    finally:
        _is_limited = False


@contextmanager
def _data_limit() -> Iterator[None]:
    try:
        import resource
    except ImportError:  # this system has no such limit; the client's deadline remains
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    in_use = _data_bytes()
    if in_use is None:
        yield
        return
    bound = in_use + _MOST_MEMORY
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    """Private writable memory of this process, from Linux's /proc; None on other systems."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            for line in status:
                if line.startswith("VmData:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _run(source: str, variables: Mapping[str, Any]) -> str:
    try:
        with memory_limit():
            parts: list[str] = []
            length = 0
            for part in _compile(source).generate(**variables):
                length += len(part)
                if length > LARGEST_OUTPUT:
                    raise TemplateError(f"it writes more than {LARGEST_OUTPUT} characters")
                parts.append(part)
            return "".join(parts)
    except SecurityError as error:
        raise TemplateError(f"it is not allowed in a template: {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise TemplateError(str(error.message or "it raised an error")) from error
    except MemoryError as error:
        raise TemplateError("it needs more than 1 GB of memory") from error
    except RecursionError as error:
        raise TemplateError("it recurses without end") from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # a template's own expression failed
        raise TemplateError(f"{type(error).__name__}: {error}") from error


# --- a conversation in a template ---------------------------------------------------------------


def _with_system_in_first_turn(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """For templates without system turns: its text is put in front of the first question."""
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


def _answer_keeps_ids(message: PromptMessage) -> bool:
    # Templates cut an answer at its think tags; a stand-in would hide them.
    return bool(message.ids) and not any(tag in message.content for tag in _THINK_TAGS)


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
    """None for "no tools"; templates that are only for tool use iterate over it unconditionally."""


def _for_tool_templates() -> dict[str, str]:
    """Variables that firefunction's template requires."""
    return {"functions": "[]", "datetime": _strftime_now("%Y-%m-%d %H:%M")}


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
        if message.role == "assistant" and message.ids and _answer_keeps_ids(message):
            content = stand_ins.keep(message.ids)
            kept.append(content)
        else:
            guarded = in_answers if message.role == "assistant" else specials
            content = stand_ins.hide(content, guarded)
        body = [{"type": "text", "text": content}] if form.typed else content
        rows.append({"role": message.role, "content": body})
    text = _run(
        source,
        {
            "messages": rows,
            "add_generation_prompt": True,
            "tools": form.tools if form.tools is None else list(form.tools),
            **(_for_tool_templates() if form.tools is not None else {}),
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
        marked += _begun_answer(prompt.partial, specials, marked)
    return marked


def _pair_answers(
    messages: Sequence[PromptMessage], kept: Sequence[str]
) -> Iterator[tuple[PromptMessage, str]]:
    chars = iter(kept)
    for message in messages:
        has_stand_in = message.role == "assistant" and bool(message.ids)
        if has_stand_in and _answer_keeps_ids(message):
            yield message, next(chars)
        else:
            yield PromptMessage(message.role, message.content), ""


def _contains(text: str, content: str | list[dict[str, str]]) -> bool:
    expected = content if isinstance(content, str) else content[0]["text"]
    return expected.strip() in text


def _begun_answer(
    partial: PromptMessage, specials: Sequence[SpecialToken], before: MarkedText
) -> MarkedText:
    """The beginning of the answer, after the text that opens it."""
    stand_ins = StandIns([before.text, partial.content])
    if partial.ids:
        char = stand_ins.keep(partial.ids)
        return MarkedText(char, {}, stand_ins.earlier)
    return MarkedText(stand_ins.hide(partial.content, specials), stand_ins.hidden, {})
