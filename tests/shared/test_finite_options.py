"""Numbers that a person gives: finite and in range at every entry, with the key named."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.main import get_command

from baize_convert.cli.commands import app as convert_commands
from baize_shared.option_types import FiniteFloat, finite_pair
from baize_train.cli.app import app as train_commands
from baize_tui.catalog.recipes import CatalogError, read_recipe
from baize_tui.cli.main import commands as tui_commands
from baize_tui.cli.main import run
from baize_tui.setting_fields import SettingField, setting_fields
from baize_tui.settings import SettingsError, decode_settings, merge_sampling

PROGRAMS = {
    "baize-tui": tui_commands,
    "baize-convert": convert_commands,
    "baize-train": train_commands,
}
NOT_FINITE = ("inf", "-inf", "nan", "1e999")
TOO_LARGE: dict[type, tuple[str, ...]] = {int: (str(2**62),), float: ("1e39", "-1e39")}
NUMBERS = [field for field in setting_fields() if field.kind in (int, float)]


def options(command: Any) -> Iterator[tuple[str, Any]]:
    """Every option of a program with the name of its command."""
    for parameter in command.params:
        yield f"{command.name} {parameter.name}", parameter
    for inner in getattr(command, "commands", {}).values():
        yield from options(inner)


def takes_any_float(option: Any) -> bool:
    described = option.type_descriptor
    if described is None or "float" not in str(described.annotation):
        return False
    info = described.parameter_info
    return not isinstance(info.parser, FiniteFloat) and info.callback is not finite_pair


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_that_takes_a_number_takes_only_finite_ones(program: str) -> None:
    unchecked = [
        name for name, option in options(get_command(PROGRAMS[program])) if takes_any_float(option)
    ]
    assert unchecked == []


@pytest.mark.parametrize("text", NOT_FINITE)
def test_a_flag_that_is_not_finite_is_wrong_usage(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", "--temperature", text, "Hi"]) == 2
    assert "temperature" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("check", "text", "why"),
    [
        (FiniteFloat(min=0, max=1), "2", "2 is not in the range 0<=x<=1"),
        (FiniteFloat(min=0), "-1", "-1 is not in the range x>=0"),
        (FiniteFloat(above=0), "0", "0 is not in the range x>0"),
        (FiniteFloat(), "1e39", "1e39 is not in the range"),
        (FiniteFloat(), "two", "'two' is not a number"),
        (FiniteFloat(), "nan", "'nan' is not a finite number"),
    ],
)
def test_a_wrong_number_is_refused_in_words(check: FiniteFloat, text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(why)):
        check(text)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_a_setting_takes_no_number_that_llama_cpp_cannot_hold(field: SettingField) -> None:
    for text in (*NOT_FINITE, *TOO_LARGE[field.kind]):
        with pytest.raises(SettingsError, match=field.key):
            field.parse(text)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_the_settings_file_takes_none_either(field: SettingField, tmp_path: Path) -> None:
    for text in ("inf", "-inf", "nan", *TOO_LARGE[field.kind]):
        with pytest.raises(SettingsError, match=field.key):
            decode_settings(
                f"[{field.table}]\n{field.key} = {text}\n".encode(), tmp_path / "c.toml"
            )


def test_a_recipe_with_such_a_number_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\nfile = "mine.gguf"\n[sampling]\ntemperature = nan\n')
    with pytest.raises(CatalogError, match="temperature"):
        read_recipe(file)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_options_of_a_conversation_are_checked_again_before_they_are_used(value: Any) -> None:
    with pytest.raises(SettingsError, match="top_p"):
        merge_sampling({"top_p": value})
    assert msgspec.json.encode(value) == b"null", "which is why no worker could have read it"
