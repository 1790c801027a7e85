"""What all programs add to the commands of a typer application.

Every command takes ``--debug``, and wrong usage is repeated harmlessly: typer's messages contain
what was typed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from baize_shared.crash_log import show_tracebacks
from baize_shared.sanitizer import clean_text

UsageError: Any = typer.BadParameter.__mro__[1]
"""typer does not export it."""


class ProgramGroup(TyperGroup):
    """The commands of a program; give it to ``typer.Typer`` as ``cls``."""

    def main(self, *args: Any, **options: Any) -> Any:
        add_debug(self)
        return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _harmless_usage_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _harmless_usage_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _harmless_usage_errors() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        error.message = clean_text(error.message)
        raise


def add_debug(command: Any) -> None:
    """Give ``command``, and those inside it, the option ``--debug``."""
    command.params.append(_debug_option())
    for inner in getattr(command, "commands", {}).values():
        add_debug(inner)


def _debug_option() -> Any:
    """A new option of a command, which does not pass its value on."""
    application = typer.Typer(add_completion=False)
    application.command()(_with_debug)
    (option,) = get_command(application).params
    option.expose_value = False
    return option


def _enable_debug(wanted: bool) -> None:
    if wanted:
        show_tracebacks.set(True)


def _with_debug(
    debug: Annotated[
        bool,
        typer.Option("--debug", callback=_enable_debug, help="Show the traceback of an error."),
    ] = False,
) -> None:
    """A command that typer makes the option from."""
