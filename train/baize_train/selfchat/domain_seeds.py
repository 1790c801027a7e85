"""Seeds of a domain: question templates that are filled with terms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from baize_shared.shipped_models import shipped_models
from baize_shared.toml_files import TomlError, read_toml
from baize_train.errors import TrainError

DOMAIN_PREFIX = "domain:"
ICD_10_CM = "icd-10-cm"
_DISEASE_CHAPTERS = "ABCDEFGHIJKLMN"
"""First letters of ICD-10-CM codes of diseases; later ones are injuries, causes and findings."""
_NOT_A_NAME = re.compile(
    r"\b(other|unspecified|not elsewhere|elsewhere classified|sequelae|encounter)\b", re.IGNORECASE
)


class Domain(Struct, frozen=True, forbid_unknown_fields=True):
    """Templates with ``{term}`` in them, and the terms or their source."""

    description: str
    templates: list[str]
    terms: list[str] = []
    terms_from: str | None = None
    """``icd-10-cm``: the names of diseases."""


def known_domains() -> list[str]:
    """Names of the domains that come with the program."""
    return sorted(file.stem for file in (shipped_models() / "seeds").glob("*.toml"))


def read_domain(spec: str) -> Domain:
    """The domain ``domain:NAME``, or that of a file, ``domain:PATH.toml``.

    Raises:
        TrainError: there is no such domain, or the file is invalid.
    """
    name = spec.removeprefix(DOMAIN_PREFIX)
    file = Path(name) if name.endswith(".toml") else shipped_models() / "seeds" / f"{name}.toml"
    if not file.is_file():
        raise TrainError(f"{spec}: no such domain; known: {', '.join(known_domains())}")
    try:
        domain = read_toml(file, Domain)
    except (OSError, TomlError) as error:
        raise TrainError(f"{file}: {error}") from error
    if domain.terms_from not in (None, ICD_10_CM):
        raise TrainError(f"{file}: terms_from {domain.terms_from!r}: only {ICD_10_CM} is known")
    if not all("{term}" in template for template in domain.templates):
        raise TrainError(f"{file}: a template has no {{term}} in it")
    return domain


def domain_questions(spec: str) -> Iterator[str]:
    """All questions of a domain, in a fixed order that mixes templates and terms.

    Raises:
        TrainError: see ``read_domain``.
    """
    domain = read_domain(spec)
    terms = list(_disease_names()) if domain.terms_from == ICD_10_CM else domain.terms
    questions = {
        template.replace("{term}", term) for term in terms for template in domain.templates
    }
    yield from sorted(questions, key=lambda text: hashlib.sha256(text.encode()).digest())


def _disease_names() -> Iterator[str]:
    """Names of the three-character categories of ICD-10-CM that are diseases."""
    # Imported here: it reads the whole classification, and is in the extra [corpus].
    import simple_icd_10_cm as icd

    for code in icd.get_all_codes(False):
        if len(code) == 3 and code[0] in _DISEASE_CHAPTERS and icd.is_category(code):
            name = icd.get_description(code)
            if not _NOT_A_NAME.search(name):
                yield name[0].lower() + name[1:]
