"""Models in several files, as llama.cpp's gguf-split names them: ``NAME-00001-of-00003.gguf``.

llama.cpp loads the first file and finds the others by their names (``llama_split_path``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from baize_shared.existing_paths import is_file

_SUFFIX = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True)
class SplitName:
    """The name of one of the files; ``number`` counts from 1."""

    prefix: str
    number: int
    count: int

    def with_number(self, number: int) -> str:
        """The name of another file of the same model."""
        return f"{self.prefix}-{number:05}-of-{self.count:05}.gguf"


def parse_split_name(name: str) -> SplitName | None:
    """The parts of ``name``, which may be a path; None if it is not one of several files."""
    match = _SUFFIX.fullmatch(name)
    if match is None:
        return None
    split = SplitName(match[1], int(match[2]), int(match[3]))
    return split if 1 <= split.number <= split.count and split.count > 1 else None


def model_files(path: Path) -> list[Path]:
    """The files of the model at ``path``: all of a split one if it is the first, else itself."""
    split = parse_split_name(path.name)
    if split is None or split.number != 1:
        return [path]
    return [path.with_name(split.with_number(number)) for number in range(1, split.count + 1)]


def model_stem(path: PurePath) -> str:
    """The name of a model without ``.gguf`` and without the number of a part."""
    split = parse_split_name(path.name)
    return path.stem if split is None else split.prefix


def model_bytes(path: Path) -> int:
    """Size of the model at ``path``, all of its files together.

    Raises:
        OSError: one of them is missing; the error names it.
    """
    return sum(file.stat().st_size for file in model_files(path))


def missing_file(path: Path) -> Path | None:
    """The first file of the model at ``path`` that is not there; None if all are."""
    return next((file for file in model_files(path) if not is_file(file)), None)
