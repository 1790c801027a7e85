"""The steps of a ``tokenizer.json``: how it normalizes text, splits it, and frames the ids.

Each kind of step that the tokenizers library can store and this program can judge is a struct here,
with the defaults of the library (its ``serialization`` of normalizers, pre_tokenizers and
processors). Any other kind becomes ``UnknownStep``, which nothing accepts.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError


class Pattern(Struct, frozen=True, omit_defaults=True):
    """What a step searches for: a regular expression or a literal text."""

    regex: str | None = msgspec.field(default=None, name="Regex")
    text: str | None = msgspec.field(default=None, name="String")

    def __str__(self) -> str:
        return repr(self.text) if self.regex is None else f"the regex {self.regex!r}"


class UnknownStep(Struct, frozen=True):
    """A step that this program cannot judge."""

    name: str

    def __str__(self) -> str:
        return self.name


class _Step(Struct, frozen=True, tag_field="type"):
    def __str__(self) -> str:
        values = ", ".join(
            f"{name}={value}" if isinstance(value, Pattern) else f"{name}={value!r}"
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        )
        name = str(self.__struct_config__.tag)
        return f"{name}({values})" if values else name


# --- normalizers --------------------------------------------------------------------------------


class Nfc(_Step, frozen=True, tag="NFC"):
    """Composes letters and their accents."""


class Prepend(_Step, frozen=True, tag="Prepend"):
    """Puts a text in front of every text that is not empty."""

    prepend: str


class Replace(_Step, frozen=True, tag="Replace"):
    """Replaces every match."""

    pattern: Pattern
    content: str


Normalizer = Nfc | Prepend | Replace | UnknownStep

# --- pre-tokenizers -----------------------------------------------------------------------------


class Split(_Step, frozen=True, tag="Split"):
    """Splits at matches; ``invert`` exchanges matches and what is between them."""

    pattern: Pattern
    behavior: str = "Isolated"
    invert: bool = False


class Digits(_Step, frozen=True, tag="Digits"):
    """Splits numbers from other text, and digits from each other."""

    individual_digits: bool = False


class ByteLevel(_Step, frozen=True, tag="ByteLevel"):
    """Splits as GPT-2 does, unless ``use_regex`` is false, and maps bytes to characters."""

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True


class Metaspace(_Step, frozen=True, tag="Metaspace"):
    """Writes spaces as ``replacement``, and splits in front of each if ``split`` is true."""

    replacement: str = "▁"
    prepend_scheme: Literal["always", "first", "never"] | None = None
    add_prefix_space: bool | None = None
    """The older form of ``prepend_scheme``."""
    split: bool = True

    @property
    def scheme(self) -> Literal["always", "first", "never"]:
        """Which texts get a space in front, unless they begin with one."""
        if self.prepend_scheme is None:
            return "never" if self.add_prefix_space is False else "always"
        return self.prepend_scheme


PreTokenizer = Split | Digits | ByteLevel | Metaspace | UnknownStep

# --- post-processors ----------------------------------------------------------------------------


class SpecialTokenIds(Struct, frozen=True):
    """A token of a template and its ids."""

    id: str
    ids: list[int]


class TemplateProcessing(_Step, frozen=True, tag="TemplateProcessing"):
    """Puts tokens around a text; items of ``single`` are a ``SpecialToken`` or a ``Sequence``."""

    single: list[dict[str, dict[str, Any]]]
    special_tokens: dict[str, SpecialTokenIds] = {}


class RobertaProcessing(_Step, frozen=True, tag="RobertaProcessing"):
    """Puts ``cls`` before a text and ``sep`` after it: text and id of each."""

    sep: tuple[str, int]
    cls: tuple[str, int]


class BertProcessing(_Step, frozen=True, tag="BertProcessing"):
    """The same."""

    sep: tuple[str, int]
    cls: tuple[str, int]


PostProcessor = TemplateProcessing | RobertaProcessing | BertProcessing | ByteLevel | UnknownStep

# --- reading ------------------------------------------------------------------------------------

_T = TypeVar("_T")
_CHILDREN = ("normalizers", "pretokenizers", "processors", "decoders")
_DEEPEST = 8


def parse_normalizers(raw: Any) -> tuple[Normalizer, ...]:
    """The steps of ``normalizer`` in order.

    Raises:
        ConvertError: a known step lacks a value, or sequences are nested too deeply.
    """
    return tuple(_parse(step, Nfc | Prepend | Replace) for step in _flat(raw))


def parse_pre_tokenizers(raw: Any) -> tuple[PreTokenizer, ...]:
    """The steps of ``pre_tokenizer`` in order.

    Raises:
        ConvertError: see ``parse_normalizers``.
    """
    return tuple(_parse(step, Split | Digits | ByteLevel | Metaspace) for step in _flat(raw))


def parse_post_processors(raw: Any) -> tuple[PostProcessor, ...]:
    """The steps of ``post_processor`` in order.

    Raises:
        ConvertError: see ``parse_normalizers``.
    """
    kinds = TemplateProcessing | RobertaProcessing | BertProcessing | ByteLevel
    return tuple(_parse(step, kinds) for step in _flat(raw))


def decoder_names(raw: Any) -> tuple[str, ...]:
    """The kinds of the steps of ``decoder`` in order.

    Raises:
        ConvertError: see ``parse_normalizers``.
    """
    return tuple(_name(step) for step in _flat(raw))


def _flat(raw: Any, depth: int = 0) -> list[Any]:
    """The steps in sequences of sequences; none for null."""
    if raw is None:
        return []
    if depth > _DEEPEST:
        raise ConvertError("sequences of steps are nested too deeply")
    if isinstance(raw, dict) and raw.get("type") == "Sequence":
        lists = [raw[key] for key in _CHILDREN if isinstance(raw.get(key), list)]
        inner: list[Any] = lists[0] if lists else []
        return [step for nested in inner for step in _flat(nested, depth + 1)]
    return [raw]


def _name(raw: Any) -> str:
    return str(raw.get("type")) if isinstance(raw, dict) else repr(raw)


def _parse(raw: Any, kinds: Any) -> Any:
    known = {kind.__struct_config__.tag for kind in get_args(kinds)}
    if _name(raw) not in known:
        return UnknownStep(_name(raw))
    try:
        return msgspec.convert(raw, kinds)
    except msgspec.ValidationError as error:
        raise ConvertError(f"{_name(raw)}: {error}") from error
