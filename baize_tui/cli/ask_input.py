"""What ``baize-tui ask`` is given: the question, adapters and a grammar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from baize_shared.named_numbers import parse_named_number
from baize_shared.typed_text import typed_text
from baize_tui.catalog.adapters import find_adapter, with_underlying
from baize_tui.cli.failures import CommandError
from baize_tui.paths import Paths

_STDIN = "-"


def read_question(prompt: str | None) -> str:
    """The question: the argument ``prompt``, stdin, or both, with stdin below the argument.

    Raises:
        CommandError: there is no question, or stdin is not text.
    """
    argument = typed_text(prompt) if prompt is not None and prompt != _STDIN else None
    piped = _read_stdin() if prompt == _STDIN or not sys.stdin.isatty() else ""
    question = "\n\n".join(part.strip("\n") for part in (argument, piped) if part and part.strip())
    if not question:
        raise CommandError("nothing to ask: give a question, or pipe a text in")
    return question


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"stdin is not UTF-8 text (byte 0x{raw[error.start]:02x} at {error.start})"
        ) from error
    if "\x00" in text:
        raise CommandError(f"stdin is not text (a zero byte at {text.index(chr(0))})")
    return text


def parse_adapters(arguments: Sequence[str], paths: Paths) -> dict[str, float]:
    """The scale of each adapter, by name, from arguments like ``A`` or ``A=SCALE``.

    Raises:
        CommandError: a scale is not a number.
        CatalogError: there is no such adapter.
    """
    scales: dict[str, float] = {}
    for argument in arguments:
        try:
            name, scale = parse_named_number(argument)
        except ValueError as error:
            raise CommandError(f"--adapter {argument}: {error}") from None
        adapter = find_adapter(name, paths)
        # An adapter that was trained over another one needs that one too.
        for underlying, its_scale in with_underlying(adapter, paths).items():
            scales.setdefault(underlying, its_scale)
        scales[adapter.name] = scale
    return scales


def read_grammar(file: Path | None) -> str:
    """The text of a GBNF file; empty without a file.

    Raises:
        CommandError: it is not text.
        OSError: it cannot be read.
    """
    try:
        return file.read_text("utf-8") if file is not None else ""
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8 text") from error
