"""TOML from people: what is wrong with it is one line, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import Struct

from baize_shared.toml_files import TomlError, decode_toml, read_toml
from baize_shared.user_paths import expand_user


class Pet(Struct, forbid_unknown_fields=True):
    name: str
    legs: int = 4


def test_it_becomes_the_struct_also_after_a_byte_order_mark() -> None:
    assert decode_toml(b'name = "Rex"', Pet) == Pet("Rex")
    assert decode_toml(b'\xef\xbb\xbfname = "Rex"', Pet) == Pet("Rex")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"name = ", "Invalid value"),
        (b"legs = 4", "missing required field `name`"),
        (b'name = "Rex"\nwings = 2', "wings"),
        (b'name = "\xff"', "not a text in UTF-8"),
        (b"name = " + b"[" * 5000, "nested too deeply"),
        (b"name = " + b"{a=" * 5000, "nested too deeply"),
        (b"#" * (2 << 20), "too many"),
        (b'name = "Rex"\nlegs = ' + b"9" * 5000, "too many digits"),
        (b'name = "Rex"\nlegs = nan', "legs"),
    ],
)
def test_what_is_wrong_is_one_line(raw: bytes, why: str) -> None:
    with pytest.raises(TomlError, match=why) as error:
        decode_toml(raw, Pet)
    assert "\n" not in str(error.value)


def test_its_texts_are_sanitized_unless_they_are_paths(tmp_path: Path) -> None:
    file = tmp_path / "pet.toml"
    file.write_text(r'name = "\u001b]0;Rex"')
    assert read_toml(file, Pet) == Pet("␛]0;Rex")
    assert read_toml(file, Pet, clean=False) == Pet("\x1b]0;Rex")


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe.toml", "zero.toml"):
        with pytest.raises(TomlError, match="not a regular file"):
            read_toml(tmp_path / name, Pet)


def test_a_home_folder_is_filled_in_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/model.gguf") == tmp_path / "model.gguf"
    assert expand_user("~no such user/model.gguf") == Path("~no such user/model.gguf")
