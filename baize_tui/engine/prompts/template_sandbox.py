"""Running a chat template: sandboxed Jinja, as Hugging Face models carry it in their GGUF.

A template is an untrusted program. It runs in the worker process, in Jinja's immutable sandbox,
with limits on the size of single operations and on memory. The client ends a template that loops by
killing the worker: no limit inside the process can stop a loop in C.
"""

from __future__ import annotations

import datetime
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from baize_tui.translation import tr

LARGEST_OUTPUT = 32 * 1024 * 1024
"""Characters that a template may write, several times a context of a million tokens."""
_MOST_MEMORY = 512 * 1024 * 1024
_LARGEST_REPEAT = 1_000_000
_LARGEST_POWER_BITS = 4096


class TemplateError(Exception):
    """A chat template failed; the message is one line that says why."""

    raised_by_template = False
    """Whether the message is the template's own (``raise_exception``)."""


class _Refusal(jinja2.TemplateError):
    """What ``raise_exception`` raises."""


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
    raise _Refusal(message)


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


def strftime_now(pattern: str) -> str:
    """The present time; templates call it."""
    return datetime.datetime.now().strftime(pattern)


def template_environment() -> ImmutableSandboxedEnvironment:
    """The sandbox, with what transformers offers to templates."""
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
    environment.globals["strftime_now"] = strftime_now
    return environment


@lru_cache(maxsize=8)
def _compile(source: str) -> jinja2.Template:
    return template_environment().from_string(source)


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


def _render(source: str, variables: Mapping[str, Any]) -> str:
    parts: list[str] = []
    length = 0
    try:
        for part in _compile(source).generate(**variables):
            length += len(part)
            if length > LARGEST_OUTPUT:
                raise TemplateError(
                    tr("it writes more than {count} characters", count=LARGEST_OUTPUT)
                )
            parts.append(part)
        text = "".join(parts)
        text.encode()
    except Exception as error:
        # Its frames, with their functions' closures, would keep what the template has built for as
        # long as the error is known.
        parts.clear()
        _forget_tracebacks(error)
        if isinstance(error, MemoryError):
            gc.collect()  # json's functions keep an indentation in a cycle
        raise
    return text


def _forget_tracebacks(error: BaseException) -> None:
    """Drop the frames of ``error`` and of all that led to it."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def run_template(source: str, variables: Mapping[str, Any]) -> str:
    """What the template ``source`` writes.

    Raises:
        TemplateError: it failed, or exceeded a limit.
    """
    try:
        with memory_limit():
            return _render(source, variables)
    except TemplateError:
        raise
    except UnicodeEncodeError as error:
        raise TemplateError(tr("it writes half of a pair of surrogates")) from error
    except SecurityError as error:
        raise TemplateError(tr("it is not allowed in a template: {what}", what=error)) from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            tr("line {number}: {why}", number=error.lineno, why=error.message)
        ) from error
    except _Refusal as error:
        refusal = TemplateError(str(error.message or tr("it raised an error")))
        refusal.raised_by_template = True
        raise refusal from error
    except jinja2.TemplateError as error:
        raise TemplateError(str(error.message or tr("it raised an error"))) from error
    except MemoryError as error:
        raise TemplateError(tr("it needs more than 512 MB of memory")) from error
    except RecursionError as error:
        raise TemplateError(tr("it recurses without end")) from error
    except SyntaxError as error:  # of the Python code that Jinja makes of it, as for {% break %}
        raise TemplateError(str(error.msg)) from error
    except Exception as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error
