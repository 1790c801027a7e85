"""Every message of the client is in every catalog, translated, with the same fields."""

from __future__ import annotations

import re
import string
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from baize_tui.translation import CATALOGS, catalog_file
from tests.translation.messages import messages_in, messages_in_code, messages_shown
from tests.translation.update_catalogs import forms, messages

HOW = "run: python -m tests.translation.update_catalogs; then translate what it prints"


@pytest.fixture(params=CATALOGS)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return _read(catalog_file(request.param).with_suffix(".po"), CATALOGS[request.param])


def _read(file: Path, locale: str) -> Catalog:
    with file.open("rb") as opened:
        return read_po(opened, locale=locale)


def _entries(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def _fields(text: str) -> set[str]:
    """The names of the fields of a message; an attribute of one is part of its value."""
    return {name.split(".")[0] for _, name, _, _ in string.Formatter().parse(text) if name}


def test_a_catalog_has_exactly_the_messages_in_the_code(catalog: Catalog) -> None:
    in_code = {str(message.id) for message in _entries(messages())}
    in_catalog = {str(message.id) for message in _entries(catalog)}
    assert not in_code - in_catalog, HOW
    assert not in_catalog - in_code, HOW
    assert not catalog.obsolete, HOW


def test_every_message_is_translated(catalog: Catalog) -> None:
    assert [m.id for m in _entries(catalog) if not all(forms(m.string))] == [], HOW
    assert [m.id for m in _entries(catalog) if m.fuzzy] == [], "check these, and remove 'fuzzy'"


def test_translations_have_the_fields_of_their_messages(catalog: Catalog) -> None:
    for message in _entries(catalog):
        wanted = _fields(forms(message.id)[-1])
        for form in forms(message.string):
            assert _fields(form) == wanted, message.id


def test_every_message_gets_values_for_its_fields() -> None:
    shown = list(messages_shown())
    assert len(shown) > 400
    wrong = [each for each in shown if not _fields(each.text) <= each.values]
    assert wrong == []


def test_translations_keep_blanks_and_line_ends(catalog: Catalog) -> None:
    for message in _entries(catalog):
        text = forms(message.id)[0]
        for form in forms(message.string):
            assert form == form.strip() or text != text.strip(), message.id
            assert form.count("\n") == text.count("\n"), message.id


def test_keys_and_commands_are_not_translated(catalog: Catalog) -> None:
    words = re.compile(r"(?<![\w/])(?:/[a-z][a-z-]+|ctrl\+\w|alt\+\w|f\d\d?|--?[a-z]+\b)(?!\w)")
    for message in _entries(catalog):
        for form in forms(message.string):
            assert set(words.findall(form)) == set(words.findall(forms(message.id)[0])), message.id


def test_chinese_is_written_with_chinese_punctuation() -> None:
    """Marks beside Chinese characters are full-width; a blank separates these from Latin words."""
    chinese = "[\u4e00-\u9fff]"
    half_width = re.compile(rf"{chinese}[,;:!?()]|[,;:!?(]{chinese}|{chinese}\.(?!\w)")
    glued = re.compile(rf"{chinese}[A-Za-z0-9$]|[A-Za-z0-9]{chinese}")
    for message in _entries(_read(catalog_file("zh").with_suffix(".po"), "zh_CN")):
        for form in forms(message.string):
            assert not half_width.search(form), form
            assert not glued.search(re.sub(r"\{[^}]*\}", "", form)), form


@pytest.mark.parametrize("language", CATALOGS)
def test_the_compiled_catalog_is_that_of_the_text(language: str) -> None:
    compiled = catalog_file(language)
    with compiled.open("rb") as opened:
        read = GNUTranslations(opened)
    for message in _entries(_read(compiled.with_suffix(".po"), CATALOGS[language])):
        one, *several = forms(message.id)
        shown = read.ngettext(one, several[0], 2) if several else read.gettext(one)
        assert shown == forms(message.string)[-1], HOW


def test_messages_are_found_wherever_they_are_marked() -> None:
    source = """
from baize_tui.measures import count_text
A = msg("a constant")
B = {"x": (msg("in a table"), 1)}
def f(n, table):
    tr("a {name}", name=n)
    tr(A)
    count_text(n, "apple")
    tr_plural("one", "{count} of them", n)
    Action("id", "f1", "Title", "What it does")
"""
    assert {*messages_in(source, "f.py")} == {
        ("a constant", None),
        ("in a table", None),
        ("a {name}", None),
        ("{count} apple", "{count} apples"),
        ("one", "{count} of them"),
        ("Title", None),
        ("What it does", None),
    }


def test_only_texts_can_be_marked() -> None:
    with pytest.raises(AssertionError, match=r"f\.py:1: msg marks something that is no text"):
        list(messages_in('msg(f"{count} apples")', "f.py"))


def test_the_words_of_the_help_are_messages() -> None:
    found = {message.text for message in messages_in_code()}
    assert {"Show all keys and commands", "In the prompt", "System prompt"} <= found
    assert {"Print one JSON object.", "Chat in a browser on this computer."} <= found
