"""Names for people, from those of folders, files and repositories."""

from __future__ import annotations

import os
import re
from pathlib import Path

from baize_convert.sources.folder_files import cached_repository

_TOKENIZER_RULES = re.compile(r"(phi)-?(?=3)|(modern)-(?=bert)", re.ASCII | re.IGNORECASE)


def title(name: str) -> str:
    """A title for people from a name such as ``my-model``."""
    words = re.split(r"[-_\s]+", name)
    return " ".join(word[:1].upper() + word[1:] for word in words if word) or "Model"


def neutral_title(text: str) -> str:
    """``text`` with a space in the words for which llama.cpp has rules of tokenizing.

    If the name of a model contains one of them, llama.cpp strips the spaces beside special tokens,
    whatever the vocabulary says, and cannot load a vocabulary without certain tokens. The words are
    in ``llama_vocab::impl::load`` (src/llama-vocab.cpp).
    """
    return _TOKENIZER_RULES.sub(lambda match: f"{match[1] or match[2]} ", text)


def name_from_path(path: Path) -> str:
    """The name of a folder, a file without its extension, or a repository in the hub's cache.

    It is text in UTF-8.
    """
    full = path.resolve()
    name = full.stem if path.is_file() else full.name
    if full.parent.name == "snapshots" and (repository := cached_repository(full)):
        name = repository.rpartition("/")[2]
    return utf8_name(name)


def utf8_name(name: str) -> str:
    """The name of a file as text that can be stored; file systems allow bytes that are none."""
    return os.fsencode(name).decode("utf-8", "replace")
