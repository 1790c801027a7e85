"""Bring the catalogs up to date with the messages in the code, and compile them.

python -m tests.translation.update_catalogs

New messages are added without a translation, and those that are gone are removed. It prints what
is left to translate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import baize_tui
from baize_tui.translation import CATALOGS, DOMAIN, catalog_file
from tests.translation.messages import messages_in_code

_WIDTH = 100
_HEAD = "# Texts of baize-tui in another language; see docs/translating.md."


def messages() -> Catalog:
    """The messages in the code, each with the files that it is in."""
    template = Catalog(header_comment=_HEAD)
    for text, several, file in messages_in_code():
        id = text if several is None else (text, several)
        template.add(id, locations=[(file, 0)])
    return template


def read_catalog(file: Path, locale: str) -> Catalog:
    """The catalog in the text ``file``; an empty one if there is none yet."""
    if not file.exists():
        return Catalog(
            locale=locale,
            project=DOMAIN,
            version=baize_tui.__version__,
            msgid_bugs_address="baize-tui",
            last_translator="baize-tui",
            language_team="baize-tui",
            revision_date=datetime.now(UTC),
            fuzzy=False,
        )
    with file.open("rb") as opened:
        return read_po(opened, locale=locale)


def update(language: str) -> list[str]:
    """Update the catalog of ``language``; returns the messages that it does not translate."""
    compiled = catalog_file(language)
    source = compiled.with_suffix(".po")
    catalog = read_catalog(source, CATALOGS[language])
    begun = catalog.creation_date
    catalog.update(messages(), no_fuzzy_matching=True, update_header_comment=True)
    catalog.obsolete.clear()
    catalog.creation_date = begun  # else the file would change each time
    compiled.parent.mkdir(parents=True, exist_ok=True)
    with source.open("wb") as opened:
        write_po(opened, catalog, width=_WIDTH, include_lineno=False)
    with compiled.open("wb") as opened:
        write_mo(opened, catalog)
    return [str(each.id) for each in catalog if each.id and not all(forms(each.string))]


def forms(string: object) -> list[str]:
    """The translation of a message: one text, or one for each plural form."""
    if isinstance(string, tuple | list):
        return [str(form or "") for form in string]
    return [str(string or "")]


if __name__ == "__main__":
    for language in CATALOGS:
        for missing in update(language):
            print(f"{language}: {missing}")
