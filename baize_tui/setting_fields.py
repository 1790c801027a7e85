"""The schema of the settings as data, for screens and for the page of the docs."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from baize_tui.settings import (
    ChatSettings,
    IdleSettings,
    LookSettings,
    ModelSettings,
    Sampling,
    SettingsError,
    TerminalSettings,
)
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import msg, tr

NOT_WHOLE = msg("{key}: {text} is not a whole number")
NOT_A_NUMBER = msg("{key}: {text} is not a number")


class SettingField(Struct, frozen=True):
    """One setting; ``kind`` is the Python type of its value, ``type`` also has the bounds."""

    table: str
    key: str
    kind: type
    type: Any
    optional: bool
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    label: str = ""
    """What a screen calls it; empty for its key."""

    @property
    def title(self) -> str:
        """What a screen calls it."""
        return self.label or self.key

    @property
    def name(self) -> str:
        return f"{self.table}.{self.key}"

    def parse(self, text: str) -> Any:
        """The value of ``text`` that a person typed; blank is None where that is allowed.

        Raises:
            SettingsError: it has another type, or is out of range.
        """
        value: Any = text
        if self.optional and not text.strip():
            value = None
        elif self.kind in (int, float):
            try:
                value = self.kind(text)
            except ValueError:
                wrong = NOT_WHOLE if self.kind is int else NOT_A_NUMBER
                raise SettingsError(tr(wrong, key=self.key, text=repr(text))) from None
        try:
            return msgspec.convert(value, self.type, strict=True)
        except msgspec.ValidationError as error:
            raise SettingsError(tr(NAMED, name=self.key, why=tr_shared(error))) from error


TABLES: dict[str, type[Struct]] = {
    "model": ModelSettings,
    "chat": ChatSettings,
    "sampling": Sampling,
    "idle": IdleSettings,
    "look": LookSettings,
    "terminal": TerminalSettings,
}


def setting_fields() -> list[SettingField]:
    """All settings in the order of the schema."""
    return [field for table in TABLES for field in table_fields(table)]


def table_fields(table: str) -> list[SettingField]:
    """The settings of one table."""
    struct = TABLES[table]
    hints = get_type_hints(struct, include_extras=True)
    fields = []
    for info in msgspec.structs.fields(struct):
        annotated = hints[info.name]
        inner, *notes = get_args(annotated)
        meta = next(note for note in notes if isinstance(note, Meta))
        arms = get_args(inner) if get_origin(inner) in (Union, UnionType) else (inner,)
        kind = next(arm for arm in arms if arm is not NoneType)
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        is_choice = get_origin(kind) is Literal
        fields.append(
            SettingField(
                table=table,
                key=info.name,
                kind=str if is_choice else kind,
                type=annotated,
                optional=NoneType in arms,
                default=info.default,
                description=meta.description or "",
                choices=get_args(kind) if is_choice else (),
                label=meta.title or "",
            )
        )
    return fields


def settings_page() -> str:
    """The settings page of the docs, as Markdown."""
    lines = ["# Settings", "", "`config.toml`; every key is optional.", ""]
    for table, struct in TABLES.items():
        about = (struct.__doc__ or "").strip()
        lines += [f"## [{table}]", "", about, "", "| Key | Default | What it is |", "|---|---|---|"]
        for field in table_fields(table):
            default = ""
            if field.default is not None:
                default = msgspec.json.encode(field.default).decode()
            lines.append(f"| {field.key} | {default} | {field.description} |")
        lines.append("")
    lines += [
        "## [keys]",
        "",
        'An action\'s id and its key, such as `again = "ctrl+e"`; the ids are the names of the',
        "commands in [keys.md](keys.md), with `_` for `-`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(settings_page(), end="")
