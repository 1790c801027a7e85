"""The form that an answer has to have: as a grammar before it is asked for, and checked after."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from baize_shared.sanitizer import clean_line
from baize_shared.user_paths import expand_user
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.measures import list_text
from baize_tui.output_forms import CUT_OFF, NOT_JSON, CheckedForm, OutputForm, OutputKind
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import msg, tr

_LONGEST_SOURCE = 1 << 20
"""Characters of a schema or a grammar; llama.cpp would read a longer one for minutes."""
_LONGEST_NAME = 40


WARNING = msg("{name}: no grammar expresses {ignored}; the answer is checked for it")


class PreparedForm(Struct, frozen=True):
    """A form that was found to be usable."""

    form: OutputForm
    grammar: str
    ignored: tuple[str, ...] = ()
    """What of a schema the grammar does not express; the answer is checked for it."""

    @property
    def warning(self) -> str:
        """One line about ``ignored``; empty if the grammar expresses everything."""
        if not self.ignored:
            return ""
        return tr(WARNING, name=self.form.name, ignored=list_text(self.ignored))


def form_from_file(kind: OutputKind, file: Path) -> OutputForm:
    """The form in ``file``.

    Raises:
        UnusableForm: it cannot be read, or is not text.
    """
    from baize_shared.regular_files import open_regular

    try:
        with open_regular(file) as opened:
            raw = opened.read(_LONGEST_SOURCE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UnusableForm(tr(NAMED, name=file, why=tr_shared(why))) from error
    try:
        source = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableForm(tr("{file}: not UTF-8 text", file=file)) from error
    return OutputForm(kind, source, clean_line(file.name, _LONGEST_NAME))


def regex_form(expression: str) -> OutputForm:
    """The form of the texts that ``expression`` matches from end to end."""
    return OutputForm("regex", expression, clean_line(expression, _LONGEST_NAME))


def named_form(kind: OutputKind, argument: str) -> OutputForm:
    """The form that a person has named: a regular expression, or a file; JSON without one is any.

    Raises:
        UnusableForm: the file cannot be read, or is not text.
    """
    if kind == "regex":
        return regex_form(argument)
    if not argument:
        return ANY_JSON
    file = expand_user(argument)
    return form_from_file("grammar" if kind == "grammar" else "json_schema", file)


ANY_JSON = OutputForm("json", name="any JSON")


@lru_cache(maxsize=32)
def prepare_form(form: OutputForm) -> PreparedForm:
    """``form`` with its grammar. Whether llama.cpp can read a GBNF shows the engine alone.

    Raises:
        UnusableForm: it is no schema or no regular expression, or no grammar can express it.
    """
    # Imported when used: the parsers and the converter are not needed to chat.
    if len(form.source) > _LONGEST_SOURCE:
        raise UnusableForm(
            tr("{name}: it has more than {count} characters", name=form.name, count=_LONGEST_SOURCE)
        )
    try:
        match form.kind:
            case "json":
                from baize_tui.engine.grammars.json_schema import any_json

                return PreparedForm(form, any_json())
            case "json_schema":
                from baize_tui.chat.schema_check import check_schema
                from baize_tui.engine.grammars.json_schema import schema_grammar

                made = schema_grammar(form.source)
                check_schema(form.source)
                return PreparedForm(form, made.grammar, made.ignored)
            case "regex":
                from baize_tui.engine.grammars.regex import regex_grammar

                return PreparedForm(form, regex_grammar(form.source))
            case "grammar":
                if not form.source.strip():
                    raise UnusableForm(tr("the grammar is empty"))
                return PreparedForm(form, form.source)
    except UnusableForm as error:
        raise UnusableForm(tr(NAMED, name=form.name, why=error)) from error


def check_answer(form: OutputForm, text: str, *, complete: bool) -> CheckedForm:
    """Whether the answer ``text`` has ``form``; ``complete`` says whether the model ended it."""
    problem = "" if complete else CUT_OFF
    if form.is_json:
        problem = _json_problem(form, text) or problem
    # The engine chose no token that a regular expression or a grammar forbids.
    return CheckedForm(form.kind, form.name, problem)


def _json_problem(form: OutputForm, text: str) -> str:
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return clean_line(NOT_JSON.format(why=error))
    if form.kind == "json":
        return ""
    from baize_tui.chat.schema_check import schema_problem

    return schema_problem(form.source, value)
