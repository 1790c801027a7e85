"""``NAME=NUMBER`` arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_shared.named_numbers import parse_named_number


@pytest.mark.parametrize(
    ("argument", "name", "number"),
    [
        ("lora", "lora", 1.0),
        ("lora=0.5", "lora", 0.5),
        ("lora=-1", "lora", -1.0),
        ("a=b=2", "a=b", 2.0),
        ("hf:owner/name@main=1e-1", "hf:owner/name@main", 0.1),
    ],
)
def test_the_number_follows_the_last_equals_sign(argument: str, name: str, number: float) -> None:
    assert parse_named_number(argument) == (name, number)


def test_an_existing_file_is_a_name_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "rank=8"
    file.touch()
    assert parse_named_number(str(file)) == (str(file), 1.0)
    assert parse_named_number(f"{file}=2") == (str(file), 2.0)


@pytest.mark.parametrize("text", ["", "half", "nan", "inf", "1e999"])
def test_what_is_not_a_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_named_number(f"lora={text}")
