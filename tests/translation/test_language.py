"""Which language the client takes, and what it shows then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from baize_shared.progress import TimeLeft
from baize_tui.measures import (
    cells,
    count_text,
    counts_text,
    duration_text,
    left_text,
    speed_text,
)
from baize_tui.translation import (
    choose_language,
    chosen_language,
    in_english,
    language_of,
    msg,
    tr,
    tr_foreign,
    tr_plural,
)

UNKNOWN = "no message of the client"


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    choose_language("en")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_SG"}, "zh"),
        ({"LANG": "zh_CN.GB18030@pinyin"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh_CN"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:zh_CN"}, "zh"),
        ({"LANG": "C", "LANGUAGE": "zh_CN"}, "en"),
    ],
)
def test_auto_follows_the_locale(variables: dict[str, str], language: str) -> None:
    assert language_of(variables) == language


def test_texts_are_in_the_chosen_language() -> None:
    choose_language("auto", {"LANG": "zh_CN.UTF-8"})
    assert tr("Settings") == "设置"
    assert tr("press delete again to delete {title}", title="A {b}") == "再按 delete 删除 A {b}"
    choose_language("en")
    assert tr("Settings") == "Settings"
    assert tr("press delete again to delete {title}", title="A") == "press delete again to delete A"


def test_what_is_no_message_stays_as_it_is() -> None:
    choose_language("zh")
    assert tr(UNKNOWN) == UNKNOWN
    assert tr("") == ""
    assert msg("Settings") == "Settings"


def test_counts_and_measures_are_in_the_chosen_language() -> None:
    assert [count_text(1, "token"), count_text(2, "token")] == ["1 token", "2 tokens"]
    assert tr_plural("one", "{count} of {total}", 3, total=9) == "3 of 9"
    assert (speed_text(33), speed_text(0), duration_text(180)) == ("33 tokens/s", "", "3 min")
    choose_language("zh")
    assert [count_text(1, "token"), count_text(2, "token")] == ["1 个词元", "2 个词元"]
    assert (speed_text(33), speed_text(0), duration_text(12)) == ("33 词元/秒", "", "12 秒")
    assert left_text(TimeLeft(), 0.1) == ""


def test_counted_things_are_listed() -> None:
    counts = {"image": 1, "tool call": 2}
    assert (counts_text(counts), counts_text({})) == ("1 image, 2 tool calls", "")
    choose_language("zh")
    assert counts_text(counts) == "1 张图片、2 次工具调用"


def test_texts_of_others_are_recognized_by_their_form() -> None:
    known = (msg("{what} - at `{place}`"), msg("Expected `{wanted}`, got `{got}`"))
    said = "Expected `int`, got `str` - at `$.model.threads`"
    assert tr_foreign(said, known) == said
    choose_language("zh")
    assert tr_foreign(said, known) == "应为 `int`，却是 `str`（位于 `$.model.threads`）"
    assert tr_foreign(UNKNOWN, known) == UNKNOWN
    assert tr_foreign("{broken", known) == "{broken"


def test_what_is_for_others_is_in_english() -> None:
    choose_language("zh")
    with in_english():
        assert (tr("Settings"), chosen_language()) == ("Settings", "en")
    assert (tr("Settings"), chosen_language()) == ("设置", "zh")


def test_wide_characters_take_two_cells() -> None:
    assert (cells("token"), cells("词元"), cells("a：")) == (5, 4, 3)


def test_english_loads_no_catalog() -> None:
    """A start in English imports nothing for it."""
    code = (
        "import sys; from baize_tui.translation import choose_language, tr;"
        "choose_language('auto', {'LANG': 'en_US.UTF-8'}); tr('Settings');"
        "sys.exit('gettext' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
