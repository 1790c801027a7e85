"""What ``baize-tui ask`` is given: the question, adapters and the form of the answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from baize_shared.named_numbers import parse_named_number
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import find_adapter, with_underlying
from baize_tui.cli.ask_files import AskedFiles, find_asked_files
from baize_tui.cli.failures import CommandError
from baize_tui.output_forms import OutputForm
from baize_tui.paths import Paths
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import msg, tr

_STDIN = "-"
_MOST_PIPED = 8 * 1000 * 1000
"""Bytes of a text on stdin; as much as of a file, and no context holds more."""
TOO_MUCH_PIPED = msg("stdin has more than {most}, and no context holds that")


def read_question(prompt: str | None, attached: Sequence[str] = ()) -> AskedFiles:
    """The question: the argument ``prompt``, stdin, or both, with stdin below the argument; and
    the files ``attached`` between them.

    Raises:
        CommandError: there is no question, or stdin is not text.
    """
    argument = prompt if prompt is not None and prompt != _STDIN else ""
    piped = _read_stdin() if prompt == _STDIN or not sys.stdin.isatty() else ""
    argument, piped = (part.strip("\n") if part.strip() else "" for part in (argument, piped))
    if not argument and not piped and not attached:
        raise CommandError(tr("nothing to ask: give a question, or pipe a text in"))
    return find_asked_files(argument, piped, attached)


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read(_MOST_PIPED + 1)
    if len(raw) > _MOST_PIPED:  # perhaps it never ends, as /dev/zero
        raise CommandError(tr(TOO_MUCH_PIPED, most=size_text(_MOST_PIPED)))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(
            tr(
                "stdin is not UTF-8 text (byte {byte} at {place})",
                byte=f"0x{raw[error.start]:02x}",
                place=error.start,
            )
        ) from error
    if "\x00" in text:
        raise CommandError(
            tr("stdin is not text (a zero byte at {place})", place=text.index(chr(0)))
        )
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
            raise CommandError(
                tr(NAMED, name=f"--adapter {argument}", why=tr_shared(error))
            ) from None
        adapter = find_adapter(name, paths)
        # An adapter that was trained over another one needs that one too.
        for underlying, its_scale in with_underlying(adapter, paths).items():
            scales.setdefault(underlying, its_scale)
        scales[adapter.name] = scale
    return scales


def _and_text(names: Sequence[str]) -> str:
    return reduce(lambda before, name: tr("{before} and {name}", before=before, name=name), names)


def read_form(
    *, json: bool, json_schema: Path | None, regex: str | None, grammar: Path | None
) -> OutputForm | None:
    """The form that the answer has to have; None for any.

    Raises:
        CommandError: more than one is given, or it cannot be used.
    """
    given = {
        "--json-object": json or None,
        "--json-schema": json_schema,
        "--regex": regex,
        "--grammar": grammar,
    }
    names = [name for name, value in given.items() if value is not None]
    if not names:
        return None
    if len(names) > 1:
        raise CommandError(
            tr("{options}: an answer can have one form only", options=_and_text(names))
        )
    # Imported when used: most questions ask for no form.
    from baize_tui.chat.forms import ANY_JSON, form_from_file, prepare_form, regex_form
    from baize_tui.engine.grammars.errors import UnusableForm

    try:
        if json_schema is not None:
            form = form_from_file("json_schema", json_schema)
        elif grammar is not None:
            form = form_from_file("grammar", grammar)
        else:
            form = ANY_JSON if regex is None else regex_form(regex)
        prepare_form(form)
    except UnusableForm as error:
        raise CommandError(str(error)) from error
    return form
