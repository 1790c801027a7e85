"""The JSON files of a tokenizer: ``tokenizer.json``, ``tokenizer_config.json`` and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from baize_convert.failures import ConvertError
from baize_convert.sources.json_content import decode_json
from baize_shared.json_errors import JSON_ERRORS


class AddedToken(Struct, frozen=True):
    """A token outside the vocabulary of the tokenizer's model; ``special`` may be missing."""

    content: str
    id: int = -1
    special: bool | None = None
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None

    @property
    def is_special(self) -> bool:
        return bool(self.special) or looks_special(self.content)

    def with_all_flags(self, *, special: bool | None = None) -> AddedToken:
        """The token without its id, with the library's defaults for flags that are missing."""
        special = bool(self.special) if special is None else special
        normalized = not special if self.normalized is None else self.normalized
        return msgspec.structs.replace(self, id=-1, special=special, normalized=normalized)


class TokenizerModel(Struct, frozen=True):
    """``model`` in ``tokenizer.json``."""

    type: str | None = None
    vocab: dict[str, int] | list[Any] = {}
    merges: list[str | list[str]] = []
    byte_fallback: bool | None = None
    ignore_merges: bool | None = None
    unk_token: str | None = None
    dropout: float | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None

    def ids(self) -> dict[str, int]:
        """Ids by token; empty for kinds of tokenizer that store a list."""
        return self.vocab if isinstance(self.vocab, dict) else {}

    def pairs(self) -> list[tuple[str, str]]:
        """The merges in order; older files write a merge as "a b".

        Raises:
            ValueError: a merge is not two tokens.
        """
        pairs = []
        for merge in self.merges:
            left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
            pairs.append((left, right))
        return pairs


class TokenizerFile(Struct, frozen=True):
    """``tokenizer.json`` of the tokenizers library; ``pipeline_steps`` reads its steps."""

    model: TokenizerModel = TokenizerModel()
    added_tokens: list[AddedToken] = []
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None
    decoder: Any = None


TokenName = str | AddedToken | None


class SpecialTokenNames(Struct, frozen=True):
    """The named tokens of ``tokenizer_config.json``, or of ``special_tokens_map.json``."""

    bos_token: TokenName = None
    eos_token: TokenName = None
    unk_token: TokenName = None
    sep_token: TokenName = None
    pad_token: TokenName = None
    cls_token: TokenName = None
    mask_token: TokenName = None
    additional_special_tokens: list[str | AddedToken] | None = None
    extra_special_tokens: list[str | AddedToken] | dict[str, str | AddedToken] | None = None
    """The name of ``additional_special_tokens`` since transformers 5; a dict also names each."""

    model_specific_special_tokens: dict[str, TokenName] = {}
    """Tokens with names of their own, such as ``image_token``, by name."""

    def named(self) -> dict[str, AddedToken]:
        """The tokens by name ("bos_token", "image_token" …); "" names none."""
        names: dict[str, TokenName] = {name: getattr(self, name) for name in _STANDARD_NAMES}
        names |= self.model_specific_special_tokens
        if isinstance(self.extra_special_tokens, dict):
            names |= self.extra_special_tokens
        tokens = {name: _as_token(token) for name, token in names.items()}
        return {name: token for name, token in tokens.items() if token is not None}

    def further(self) -> list[AddedToken]:
        """Further special tokens, in the order in which transformers adds them."""
        extra, older = self.extra_special_tokens or [], self.additional_special_tokens or []
        tokens = older if isinstance(extra, dict) else extra or older
        return [token for name in tokens if (token := _as_token(name)) is not None]


_STANDARD_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


def _as_token(name: TokenName) -> AddedToken | None:
    token = AddedToken(name, special=True) if isinstance(name, str) else name
    return token if token is not None and token.content else None


class TokenizerConfig(SpecialTokenNames, frozen=True):
    """``tokenizer_config.json``."""

    added_tokens_decoder: dict[int, AddedToken] | None = None
    add_prefix_space: bool | None = None
    add_bos_token: bool | UnsetType | None = UNSET
    add_eos_token: bool | UnsetType | None = UNSET
    split_special_tokens: bool | None = None
    chat_template: Any = None


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
        return decode_json(path.read_bytes(), type)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise ConvertError(f"{path}: {error}") from error


def read_tokenizer_config(folder: Path) -> TokenizerConfig:
    """``tokenizer_config.json``, all defaults without one.

    Raises:
        ConvertError: the file cannot be read.
    """
    return _read_names(folder / "tokenizer_config.json", TokenizerConfig) or TokenizerConfig()


def read_special_names(folder: Path, settings: TokenizerConfig) -> SpecialTokenNames:
    """The named tokens of the tokenizer in ``folder``, whose ``tokenizer_config.json`` is given.

    As transformers' ``PreTrainedTokenizerBase._from_pretrained``: the older
    ``special_tokens_map.json`` counts only without ``added_tokens_decoder``.

    Raises:
        ConvertError: the file cannot be read.
    """
    if settings.added_tokens_decoder is not None:
        return settings
    older = _read_names(folder / "special_tokens_map.json", SpecialTokenNames)
    if older is None:
        return settings
    given = {
        name: getattr(older, name)
        for name in SpecialTokenNames.__struct_fields__
        if getattr(older, name)
    }
    given["model_specific_special_tokens"] = {
        **settings.model_specific_special_tokens,
        **older.model_specific_special_tokens,
    }
    return msgspec.structs.replace(settings, **given)


_Names = TypeVar("_Names", bound=SpecialTokenNames)


def _read_names(path: Path, type: type[_Names]) -> _Names | None:
    """The file as ``type``, with the tokens that have names of their own.

    As transformers: every text, and every token, under a name that ends with ``_token``.
    """
    names = read_json_file(path, type)
    if names is None:
        return None
    known = type.__struct_fields__
    specific: dict[str, TokenName] = {}
    for key, value in (read_json_file(path, dict[str, Any]) or {}).items():
        if key.endswith("_token") and key not in known:
            try:
                specific[key] = msgspec.convert(value, str | AddedToken)
            except msgspec.ValidationError:
                continue  # a setting of the same ending, such as add_image_token
    return msgspec.structs.replace(
        names,
        model_specific_special_tokens={**specific, **names.model_specific_special_tokens},
    )


def looks_special(token: str) -> bool:
    """Whether an unmarked token looks special, as ``does_token_look_special`` of llama.cpp."""
    return (
        token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (token.startswith("<|") and token.endswith("|>"))
        or (token.startswith("<｜") and token.endswith("｜>"))
        or (token.startswith("<unused") and token.endswith(">"))
    )
