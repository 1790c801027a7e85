"""The lines of a log that can be shown to strangers.

A log has what libraries print and what exceptions say, and an exception may quote a message of a
conversation. Only lines of known form are kept: what llama.cpp prints while it loads and computes,
and where in the code an exception was raised. Of anything else, the excerpt has only that it is
missing.
"""

from __future__ import annotations

import re

from baize_shared.counts import count_text

_LLAMA_CPP = re.compile(
    r"~?(?:(?:ggml|llama|llm|load|sched|graph|set|create|init)_\w+|load|print_info|repack): "
)
"""Lines begin with the function that prints them."""
_QUOTES_INPUT = re.compile(
    r"grammar|token|template|prompt|\bkv\b|general\.|tools?\b", re.IGNORECASE
)
"""What llama.cpp prints of a grammar, a vocabulary, a template or the metadata of a model."""
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\):"
    r"|(?:Current t|T)hread 0x[0-9a-f]+(?: \[[\w.-]*\])? \(most recent call first\):"
    r"|Fatal Python error: [\w ]+"
    r"|(?:The above exception|During handling of the above exception).*:"
    r"|\s*[\^~]+"
)
_HEADER = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} [\w-]+")
_FRAME = re.compile(r'\s*(?:\| )?File "(?P<file>[^"]*)", line (?P<line>\d+),? in (?P<name>\S+)')
_EXCEPTION = re.compile(
    r"(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Failure|Failed))(?:: (?P<message>.*))?"
)
_FOLDERS = re.compile(r"""(?:/[^/\s'"]+)+/""")
_PACKAGES = ("site-packages/", "lib/python")


def safe_lines(text: str) -> list[str]:
    """The lines of ``text`` that quote nobody; a note stands for others."""
    kept: list[str] = []
    left_out = 0
    before = ""
    for line in text.splitlines():
        safe = _safe_line(line, before)
        # A message may have more lines, of any form.
        before = before if safe is None and _is_exception(before) else line
        if safe is None:
            left_out += 1
            continue
        if left_out:
            kept.append(_note(left_out))
            left_out = 0
        kept.append(safe)
    return [*kept, _note(left_out)] if left_out else kept


def _note(count: int) -> str:
    return f"({count_text(count, 'line')} left out)"


def _safe_line(line: str, before: str) -> str | None:
    """``line``, or what can be shown of it; None if that is nothing.

    ``before`` is the line before, or the exception whose message may go on.
    """
    if _HEADER.fullmatch(line) or _TRACEBACK.fullmatch(line):
        return line
    if _is_exception(before):
        return None
    if frame := _FRAME.fullmatch(line):
        return f'  File "{_from_package(frame["file"])}", line {frame["line"]}, in {frame["name"]}'
    frame = _FRAME.fullmatch(before)
    if frame and frame["file"].endswith(".py") and line.startswith("    "):
        return line  # the source
    if _LLAMA_CPP.match(line):
        return None if _QUOTES_INPUT.search(line) else _FOLDERS.sub("…/", line)
    if exception := _EXCEPTION.fullmatch(line):
        message = exception["message"]
        length = f": ({count_text(len(message), 'character')})" if message else ""
        return exception["type"] + length
    return None


def _is_exception(line: str) -> bool:
    return _EXCEPTION.fullmatch(line) is not None


def _from_package(file: str) -> str:
    """The path of a module from its package on: folders above it name the person."""
    for marker in _PACKAGES:
        _, found, after = file.rpartition(marker)
        if found:
            return f"…/{after}"
    for package in ("baize_tui/", "baize_shared/", "baize_convert/", "baize_train/"):
        _, found, after = file.partition(f"/{package}")
        if found:
            return f"…/{package}{after}"
    return file.rpartition("/")[2]
