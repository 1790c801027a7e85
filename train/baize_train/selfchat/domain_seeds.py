"""Seeds of a domain: templates of questions, filled with terms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_train.errors import TrainError
from baize_tui.catalog.shipped import shipped_models

PREFIX = "domain:"
ICD = "icd-10-cm"
_DISEASES = "ABCDEFGHIJKLMN"
"""Chapters of diseases; those behind are of injuries, circumstances and findings."""
_NO_NAME = re.compile(
    r"\b(other|unspecified|not elsewhere|elsewhere classified|sequelae|encounter)\b", re.IGNORECASE
)


class SeedPack(Struct, frozen=True, forbid_unknown_fields=True):
    """Templates with ``{term}`` in them, and the terms, or where they are from."""

    description: str
    templates: list[str]
    terms: list[str] = []
    terms_from: str | None = None


def known_packs() -> list[str]:
    return sorted(file.stem for file in (shipped_models() / "seeds").glob("*.toml"))


def read_pack(wanted: str) -> SeedPack:
    """The pack ``domain:NAME``, or that of a file ``domain:PATH.toml``.

    Raises:
        TrainError: there is none, or it is not one.
    """
    name = wanted.removeprefix(PREFIX)
    file = Path(name) if name.endswith(".toml") else shipped_models() / "seeds" / f"{name}.toml"
    if not file.is_file():
        raise TrainError(f"{wanted}: no such domain; known: {', '.join(known_packs())}")
    try:
        pack = msgspec.toml.decode(file.read_bytes(), type=SeedPack)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainError(f"{file}: {error}") from error
    if pack.terms_from not in (None, ICD):
        raise TrainError(f"{file}: terms_from {pack.terms_from!r}: only {ICD} is known")
    if not all("{term}" in template for template in pack.templates):
        raise TrainError(f"{file}: a template has no {{term}} in it")
    return pack


def seeds_of(wanted: str) -> Iterator[str]:
    """All questions of a domain, in an order that mixes templates and terms, each time the same.

    Raises:
        TrainError: see ``read_pack``; or the package with its terms is missing.
    """
    pack = read_pack(wanted)
    terms = list(_diseases()) if pack.terms_from == ICD else pack.terms
    questions = [template.format(term=term) for term in terms for template in pack.templates]
    yield from sorted(set(questions), key=lambda one: hashlib.sha256(one.encode()).digest())


def _diseases() -> Iterator[str]:
    """Names of diseases, as ICD-10-CM has them for its categories of three characters."""
    try:
        import simple_icd_10_cm as icd
    except ImportError as error:
        raise TrainError("the terms of this domain come with: pip install simple-icd-10-cm") from (
            error
        )
    for code in icd.get_all_codes(False):
        if len(code) == 3 and code[0] in _DISEASES and icd.is_category(code):
            name = icd.get_description(code)
            if not _NO_NAME.search(name):
                yield name[0].lower() + name[1:]
