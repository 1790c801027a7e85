"""The settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.settings import Sampling, Settings, SettingsError, load_settings, merge_sampling


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "config.toml") == Settings()


def test_a_file_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[model]\ncontext = 512\n[sampling]\ntop_k = 5\n")
    settings = load_settings(file)
    assert settings.model.context == 512
    assert merge_sampling(settings.sampling) == Sampling(top_k=5)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[model]\ncontxt = 1\n", "contxt"),
        ("[sampling]\ntop_p = 2.0\n", "top_p"),
        ("[sampling]\ntop_q = 2.0\n", "top_q"),
        ("[chat]\nmoderation = 'yes'\n", "moderation"),
        ("not toml", "line 1"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings(file)
    assert str(file) in str(caught.value)


def test_flags_override_settings_and_settings_override_the_recipe() -> None:
    sampling = merge_sampling(
        {"temperature": 0.2, "top_k": 1}, {"top_k": 2, "min_p": 0.1}, {"min_p": 0.2}
    )
    assert (sampling.temperature, sampling.top_k, sampling.min_p) == (0.2, 2, 0.2)
