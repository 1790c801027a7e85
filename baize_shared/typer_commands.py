"""Make a typer command from a dataclass of options and a function.

typer reads the options of a command from the signature of its function, so commands cannot share
any. Here the signature is made from the fields of a dataclass: shared options are declared once, in
a base class, and the function gets one object.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class Command(Generic[Options]):
    """A command of the program."""

    name: str
    help: str
    options: type[Options]
    """A frozen dataclass whose annotations are typer's."""
    run: Callable[[Options], None]

    def add_to(self, app: typer.Typer) -> None:
        """Register the command with ``app``."""
        build: Callable[..., Options] = self.options

        def call(**values: Any) -> None:
            self.run(build(**values))

        hints = get_type_hints(self.options, include_extras=True)
        call.__annotations__ = hints
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(field, hints[field.name]) for field in dataclasses.fields(self.options)]  # type: ignore[arg-type]
        )
        app.command(self.name, help=self.help)(call)


def _parameter(field: dataclasses.Field[Any], annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
