"""The JSON files of a tokenizer: ``tokenizer.json``, ``tokenizer_config.json`` and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError


class AddedToken(Struct, frozen=True):
    """A token outside the vocabulary of the tokenizer's model; ``special`` may be missing."""

    content: str
    id: int = -1
    special: bool | None = None

    @property
    def is_special(self) -> bool:
        return bool(self.special) or looks_special(self.content)


class TokenizerModel(Struct, frozen=True):
    """``model`` in ``tokenizer.json``."""

    type: str | None = None
    vocab: dict[str, int] | list[Any] = {}
    merges: list[str | list[str]] = []
    byte_fallback: bool | None = None
    unk_token: str | None = None

    def ids(self) -> dict[str, int]:
        """Ids by token; empty for kinds of tokenizer that store a list."""
        return self.vocab if isinstance(self.vocab, dict) else {}

    def pairs(self) -> list[tuple[str, str]]:
        """The merges in order; older files write a merge as "a b"."""
        pairs = []
        for merge in self.merges:
            left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
            pairs.append((left, right))
        return pairs


class TokenizerFile(Struct, frozen=True):
    """``tokenizer.json`` of the tokenizers library."""

    model: TokenizerModel = TokenizerModel()
    added_tokens: list[AddedToken] = []
    pre_tokenizer: Any = None


class TokenizerConfig(Struct, frozen=True):
    """``tokenizer_config.json``."""

    added_tokens_decoder: dict[int, AddedToken] = {}
    add_prefix_space: bool | None = None


class GenerationConfig(Struct, frozen=True):
    """``generation_config.json``."""

    eos_token_id: int | list[int] | None = None


_T = TypeVar("_T")


def read_json_file(path: Path, type: type[_T]) -> _T | None:
    """The file as ``type``; None if it does not exist.

    Raises:
        ConvertError: it cannot be read, or has another structure.
    """
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConvertError(f"{path}: {error}") from error


def looks_special(token: str) -> bool:
    """Whether an unmarked token looks special, as ``does_token_look_special`` of llama.cpp."""
    return (
        token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (token.startswith("<|") and token.endswith("|>"))
        or (token.startswith("<｜") and token.endswith("｜>"))
        or (token.startswith("<unused") and token.endswith(">"))
    )
