"""The texts of the client in the person's language.

English texts are the message ids: they stand in the code, and a catalog has their translations
(``docs/translating.md``). ``msg`` marks a constant, which is translated where it is shown; ``tr``
and ``tr_plural`` translate. The language is chosen once, when the program starts. A catalog is read
when the first text is needed, and none is read for English.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from gettext import GNUTranslations

Language = Literal["auto", "en", "zh"]
"""The values of the setting ``look.language``; ``auto`` follows the environment."""
CATALOGS: Final[Mapping[str, str]] = {"zh": "zh_CN"}
"""The folder of each language that has a catalog."""
LOCALE_FOLDER = Path(__file__).parent / "locale"
DOMAIN = "baize-tui"

_LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_NO_LANGUAGE = ("", "C", "POSIX")
_TRADITIONAL = ("zh_TW", "zh_HK", "zh_MO", "zh_Hant")

_language = "en"
_catalog: GNUTranslations | None = None


def msg(text: str) -> str:
    """Mark ``text``, a constant, as a message: every catalog has to have it."""
    return text


def tr(text: str, /, **values: object) -> str:
    """The message ``text`` in the person's language, with ``values`` in its named fields.

    A text that is no message stays as it is.
    """
    catalog = _read_catalog()
    if catalog is not None and text:  # the empty message is the head of a catalog
        text = catalog.gettext(text)
    return text.format(**values) if values else text


def plural_msg(one: str, several: str) -> tuple[str, str]:
    """Mark a message that differs for one thing and for several, whose field is ``count``."""
    return one, several


def tr_plural(one: str, several: str, count: int, **values: object) -> str:
    """A message with the field ``count``, in the form for this number of things."""
    catalog = _read_catalog()
    if catalog is None:
        text = one if count == 1 else several
    else:
        text = catalog.ngettext(one, several, count)
    return text.format(count=count, **values)


def tr_foreign(text: str, known: Iterable[str]) -> str:
    """``text``, which another package has written, in the person's language.

    It is recognized by its form: that of one of the messages ``known``, such as
    ``no such file: {file}``. A value in it may itself be such a text. One that has none of these
    forms stays as it is.
    """
    if _read_catalog() is None:
        return text
    known = tuple(known)
    for message in known:
        if (match := re.fullmatch(_form(message), text, re.DOTALL)) is not None:
            values = {name: tr_foreign(value, known) for name, value in match.groupdict().items()}
            return tr(message, **values)
    return text


@cache
def _form(message: str) -> str:
    """The expression that matches ``message`` with any values in its fields."""
    from string import Formatter  # imported when used: English needs none of it

    return "".join(
        re.escape(text) + (f"(?P<{name}>.+?)" if name else "")
        for text, name, _, _ in Formatter().parse(message)
    )


def is_english() -> bool:
    """Whether texts are shown as they stand in the code."""
    return _language not in CATALOGS


def chosen_language() -> Literal["en", "zh"]:
    """The language that texts are shown in, to tell it to another process."""
    return "zh" if _language == "zh" else "en"


def choose_language(language: Language, environ: Mapping[str, str] = os.environ) -> None:
    """Show texts in ``language`` from now on; ``auto`` is that of ``environ``."""
    global _language, _catalog
    _language = language_of(environ) if language == "auto" else language
    _catalog = None


@contextlib.contextmanager
def in_english() -> Iterator[None]:
    """Texts for a program or a file, which are the same in every language."""
    global _language, _catalog
    before = _language, _catalog
    choose_language("en")
    try:
        yield
    finally:
        _language, _catalog = before


def language_of(environ: Mapping[str, str]) -> str:
    """The language that gettext would take with these variables; English if it has no catalog.

    ``LANGUAGE`` is a list of languages, the most welcome first. As in GNU gettext it counts only
    where the locale names a language. There is no catalog with traditional Chinese characters.
    """
    locale = next((value for name in _LOCALE_VARIABLES if (value := environ.get(name))), "")
    if locale.partition(".")[0] in _NO_LANGUAGE:
        return "en"
    wanted = [each for each in environ.get("LANGUAGE", "").split(":") if each] or [locale]
    for each in wanted:
        language = each.partition(".")[0].partition("@")[0].partition("_")[0]
        if language == "en":
            break
        if language in CATALOGS and not each.startswith(_TRADITIONAL):
            return language
    return "en"


def catalog_file(language: str) -> Path:
    """The compiled catalog of ``language``; the text that it is made from is beside it."""
    return LOCALE_FOLDER / CATALOGS[language] / "LC_MESSAGES" / f"{DOMAIN}.mo"


def _read_catalog() -> GNUTranslations | None:
    """The catalog of the chosen language; None for English."""
    global _catalog
    if _catalog is None and _language in CATALOGS:
        # Imported when used: English needs none of it.
        from gettext import GNUTranslations

        with catalog_file(_language).open("rb") as file:
            _catalog = GNUTranslations(file)
    return _catalog
