"""The form that an answer can be asked to have."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from baize_tui.translation import msg, tr, tr_foreign

OutputKind = Literal["json", "json_schema", "regex", "grammar"]


class OutputForm(Struct, frozen=True):
    """The form that an answer has to have."""

    kind: OutputKind
    source: str = ""
    """The JSON schema, the regular expression or the GBNF; empty for any JSON."""
    name: str = ""
    """What it is called on the screen, such as the name of the file that it came from."""

    @property
    def is_json(self) -> bool:
        return self.kind in ("json", "json_schema")


FORM_NAMES: dict[OutputKind, str] = {
    "json": "JSON",
    "json_schema": "JSON",
    "regex": msg("regex"),
    "grammar": msg("grammar"),
}


def form_text(form: OutputForm | CheckedForm) -> str:
    """A form for a person, such as ``JSON person.json``."""
    name = "" if form.kind == "json" else form.name
    return f"{tr(FORM_NAMES[form.kind])} {name}".strip()


CUT_OFF, NOT_JSON = msg("it was cut off"), msg("not JSON: {why}")


class CheckedForm(Struct, frozen=True):
    """The form that an answer was asked to have, and whether it has it."""

    kind: OutputKind
    name: str = ""
    problem: str = ""
    """How the answer differs from the form, in English; empty if it does not."""

    @property
    def problem_text(self) -> str:
        """The same in the person's language."""
        return tr_foreign(self.problem, (CUT_OFF, NOT_JSON))

    @property
    def is_json(self) -> bool:
        return self.kind in ("json", "json_schema")
