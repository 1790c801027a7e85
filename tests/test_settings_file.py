"""Settings: the schema as data, and writing one key without changing the rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import tomlkit

from baize_tui.setting_fields import TABLES, SettingField, setting_fields, settings_page
from baize_tui.settings import Settings, SettingsError, load_settings
from baize_tui.settings_file import write_setting

WRITTEN = """# my settings
[chat]
moderation = false  # I know what I ask

[sampling]
# warmer
temperature = 1.2
"""


def field(name: str) -> SettingField:
    return next(field for field in setting_fields() if field.name == name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def test_a_key_is_set_and_every_comment_stays(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    settings = write_setting(file, "sampling", "temperature", 0.3)
    assert settings.sampling == {"temperature": 0.3}
    assert file.read_text() == WRITTEN.replace("1.2", "0.3")
    write_setting(file, "look", "theme", "baize-light")
    assert file.read_text().startswith(WRITTEN.replace("1.2", "0.3"))
    assert load_settings(file).look.theme == "baize-light"


def test_none_removes_the_key(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    assert write_setting(file, "sampling", "temperature", None).sampling == {}
    assert "temperature" not in file.read_text()
    assert "# warmer" in file.read_text()


def test_a_new_file_is_for_its_owner_alone(file: Path) -> None:
    write_setting(file, "chat", "system", 'Say "aye"\nand no more.')
    assert load_settings(file).chat.system == 'Say "aye"\nand no more.'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_value_out_of_range_is_named_and_changes_nothing(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    with pytest.raises(SettingsError, match="max_tokens"):
        write_setting(file, "chat", "max_tokens", 0)
    assert file.read_text() == WRITTEN


def test_a_file_that_is_not_valid_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("[chat\n")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        write_setting(file, "look", "theme", "nord")
    assert file.read_text() == "[chat\n"


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(WRITTEN)
    file.parent.mkdir()
    file.symlink_to(real)
    write_setting(file, "look", "theme", "nord")
    assert file.is_symlink()
    assert "nord" in real.read_text()


def test_every_key_of_the_schema_is_described() -> None:
    fields = setting_fields()
    assert len({field.name for field in fields}) == len(fields)
    assert all(field.description for field in fields)
    defaults = Settings()
    for setting in fields:
        if setting.table != "sampling":
            assert getattr(getattr(defaults, setting.table), setting.key) == setting.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("sampling.temperature", "0.5", 0.5),
        ("sampling.top_k", "12", 12),
        ("sampling.seed", " ", None),
        ("sampling.seed", "7", 7),
        ("look.theme", "nord", "nord"),
        ("chat.overflow", "stop", "stop"),
        ("chat.overflow", "summarize", "summarize"),
        ("chat.overflow", "shift", "shift"),
    ],
)
def test_typed_text_becomes_a_value(name: str, text: str, value: object) -> None:
    assert field(name).parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("sampling.temperature", "warm", "'warm' is not a number"),
        ("sampling.top_k", "1.5", "'1.5' is not a whole number"),
        ("sampling.top_p", "2", "<= 1"),
        ("sampling.temperature", "nan", "temperature"),
        ("chat.overflow", "explode", "overflow"),
    ],
)
def test_an_invalid_value_is_reported(name: str, text: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        field(name).parse(text)


def test_the_settings_page_is_the_schema() -> None:
    """Made by: python -m baize_tui.setting_fields > docs/settings.md"""
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page()


def test_every_setting_can_be_written(file: Path) -> None:
    for setting in setting_fields():
        value = (
            setting.default
            if setting.default is not None
            else {str: "x", int: 3, bool: True}[setting.kind]
        )
        write_setting(file, setting.table, setting.key, value)
    assert set(tomlkit.parse(file.read_text())) == set(TABLES)


def test_a_byte_order_mark_is_ignored_and_does_not_stay(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN, "utf-8-sig")
    assert load_settings(file).sampling == {"temperature": 1.2}
    write_setting(file, "sampling", "temperature", 0.3)
    assert file.read_text() == WRITTEN.replace("1.2", "0.3")


def test_texts_in_the_file_are_sanitized(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(r"""
[chat]
system = "a\u001b]0;title\u0007\u202e\n\tb"
[look]
theme = "\u009b31m"
""")
    settings = load_settings(file)
    assert settings.chat.system == "a␛]0;title␇\N{REPLACEMENT CHARACTER}\n\tb"
    assert settings.look.theme == "\N{REPLACEMENT CHARACTER}31m"


def test_a_file_that_is_none_is_one_line(file: Path) -> None:
    file.parent.mkdir()
    for content in ("x = " + "[" * 20_000, f"x = {'9' * 5000}", "\x00"):
        file.write_text(content)
        with pytest.raises(SettingsError, match=r"config\.toml: ") as caught:
            load_settings(file)
        assert "\n" not in str(caught.value)
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(file)
