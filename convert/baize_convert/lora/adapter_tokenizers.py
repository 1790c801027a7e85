"""Which tokenizer counts: that of the base, or one beside an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from baize_convert.lora.adapter import Adapter

_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_PARTS = ("vocab.json", "added_tokens.json", "chat_template.jinja")
"""Files that show that a training had a tokenizer or a template of its own."""


def choose_tokenizer(base: Path, adapters: Sequence[Adapter]) -> Path:
    """The folder of the last adapter with a tokenizer, as training may have added tokens.

    If there is none, ``base``.
    """
    for adapter in reversed(adapters):
        for folder in _folders(adapter):
            if _tokenizer_file(folder) is not None:
                return folder
    return base


def describe_unused_tokenizers(adapters: Sequence[Adapter], chosen: Path) -> Iterator[str]:
    """What adapters have of a tokenizer beside them although another one is ``chosen``."""
    for adapter in adapters:
        if chosen in _folders(adapter):
            continue
        for folder in _folders(adapter):
            if (file := _tokenizer_file(folder)) is not None:
                if not _are_equal(file, chosen / file.name):
                    yield (
                        f"{file} is not used, as {chosen} has the tokenizer that counts, which is "
                        "another one: give the adapter whose tokenizer has the tokens of all last"
                    )
            elif parts := [name for name in _PARTS if (folder / name).is_file()]:
                yield (
                    f"{folder}: {' and '.join(parts)} without {' or '.join(_TOKENIZERS)} is not "
                    f"used, as {chosen} has the tokenizer that counts: load the tokenizer of the "
                    "training with transformers, and save it there"
                )


def _folders(adapter: Adapter) -> list[Path]:
    """Where trainers save the tokenizer of an adapter."""
    return [folder for folder in (adapter.path, adapter.parent) if folder is not None]


def _tokenizer_file(folder: Path) -> Path | None:
    return next((folder / name for name in _TOKENIZERS if (folder / name).is_file()), None)


def _are_equal(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False
