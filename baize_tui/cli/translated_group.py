"""The help of the commands, and what is said about wrong usage, in the person's language.

typer takes the texts of a command where it is declared, and has words of its own, of which few go
through gettext. So the texts are translated in the commands that typer has made, and what typer
says is recognized by its form. In English nothing is changed.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from baize_shared.program_group import ProgramGroup, UsageError
from baize_tui.translation import choose_language, is_english, msg, tr, tr_foreign

JSON_FLAG = "--json"
_HELP_OF_HELP = msg("Show this message and exit.")
_USAGE = msg("Usage: ")
_METAVARS = {
    "options_metavar": msg("[OPTIONS]"),
    "subcommand_metavar": msg("COMMAND [ARGS]..."),
}
_WORDS = {
    "ABORTED_TEXT": msg("Aborted."),
    "ARGUMENTS_PANEL_TITLE": msg("Arguments"),
    "COMMANDS_PANEL_TITLE": msg("Commands"),
    "DEFAULT_STRING": msg("[default: {}]"),
    "ERRORS_PANEL_TITLE": msg("Error"),
    "OPTIONS_PANEL_TITLE": msg("Options"),
    "REQUIRED_LONG_STRING": msg("[required]"),
    "RICH_HELP": msg("Try [blue]'{command_path} {help_option}'[/] for help."),
}
"""What ``typer.rich_utils`` prints, by the names of its constants."""
_WRONG_USAGE = (
    msg("Missing command."),
    msg("No such command {name}. Did you mean {others}?"),
    msg("No such command {name}."),
    msg("No such option: {name} (Possible options: {others})"),
    msg("No such option: {name}"),
    msg("Option {name} requires an argument."),
    msg("Option {name} does not take a value."),
    msg("Got unexpected extra argument(s) ({arguments})"),
    msg("Missing argument {name}."),
    msg("Missing argument {name}. {choices}"),
    msg("Missing option {name}."),
    msg("Missing option {name}. {choices}"),
    msg("Choose from:\n\t{choices}"),
    msg("Invalid value for {name}: {why}"),
    msg("Invalid value: {why}"),
    msg("Value error, {why}"),
    msg("{value} is not one of {choices}."),
    msg("Input should be a valid integer, unable to parse string as an integer"),
    msg("Input should be greater than or equal to {number}"),
    msg("Input should be less than or equal to {number}"),
    msg("{value} is not a number."),
    msg("{value} is not a finite number."),
    msg("{value} is not in the range {range}."),
)
"""What typer, pydantic and ``baize_shared.option_types`` say; see ``tr_foreign``."""


_INSTALLED = (
    msg("{shell} completion installed in {file}"),
    msg("Completion will take effect once you restart the terminal"),
    msg("Shell {shell} is not supported."),
)
"""What ``--install-completion`` prints."""


class TranslatedGroup(ProgramGroup):
    """The commands of the client; give it to ``typer.Typer`` as ``cls``."""

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **options: Any
    ) -> Any:
        if JSON_FLAG in takewhile(lambda word: word != "--", args):
            choose_language("en")  # a program gets the same everywhere, also of wrong usage
        if not is_english():
            translate(self)
        with _translated_usage_errors():
            return super().make_context(info_name, args, *more, **options)

    def invoke(self, ctx: Any) -> Any:
        with _translated_usage_errors():
            return super().invoke(ctx)


def translate(commands: Any) -> None:
    """Translate the help of ``commands``, and of all that are in them."""
    for text in help_texts(commands):
        setattr(text.holder, text.attribute, tr(text.text))
    for command in _all_commands(commands):
        command.context_class = _TranslatedContext
        for attribute, metavar in _METAVARS.items():
            setattr(command, attribute, tr(metavar))
        for param in command.params:
            if param.name == "install_completion":
                param.callback = _saying_in_own_language(param.callback)


def _saying_in_own_language(callback: Callable[..., Any]) -> Callable[..., Any]:
    """``callback`` of an option, with what it prints in the person's language."""

    def call(*values: Any) -> Any:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                return callback(*values)
        finally:
            for line in said.getvalue().splitlines():
                print(tr_foreign(line, _INSTALLED))

    return call


class HelpText(NamedTuple):
    """A text of a command, and where typer reads it."""

    holder: Any
    attribute: str
    text: str


def help_texts(commands: Any) -> Iterator[HelpText]:
    """The texts in the help of ``commands``, and of all that are in them."""
    for command in _all_commands(commands):
        for holder in (command, *command.params):
            for attribute in ("help", "short_help", "epilog"):
                if text := getattr(holder, attribute, None):
                    yield HelpText(holder, attribute, text)


def _all_commands(command: Any) -> Iterator[Any]:
    yield command
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            yield from _all_commands(inner)


class _TranslatedContext(typer.Context):
    """How a command is called, which makes its help too."""

    def get_help(self) -> str:
        option = self.command.get_help_option(self)
        if option is not None:
            option.help = tr(_HELP_OF_HELP)
        _translate_words()
        return super().get_help()

    def make_formatter(self) -> Any:
        formatter = super().make_formatter()
        formatter.write_usage = partial(formatter.write_usage, prefix=tr(_USAGE))  # type: ignore[method-assign]
        return formatter


@contextlib.contextmanager
def _translated_usage_errors() -> Iterator[None]:
    """Let what is raised, and how typer prints it, be in the person's language."""
    try:
        yield
    except UsageError as error:
        if is_english() or type(error).__name__ == "NoArgsIsHelpError":  # it has printed the help
            raise
        _translate_words()
        raise UsageError(
            tr_foreign(error.format_message(), _WRONG_USAGE), getattr(error, "ctx", None)
        ) from error
    except typer.Abort:
        if not is_english():
            _translate_words()
        raise


def _translate_words() -> None:
    """Have typer print its words, and break lines, as the person's language needs it.

    Both are in modules that are slow to import, and that typer imports only for that.
    """
    from typer import rich_utils

    from baize_tui.app.line_breaks import break_lines_of_rich

    for name, text in _WORDS.items():
        setattr(rich_utils, name, tr(text))
    break_lines_of_rich()
