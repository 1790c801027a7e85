"""Decides which tokenizer of llama.cpp does what a Hugging Face tokenizer does.

The whole pipeline counts: the flags of the model, how text is normalized and split, which texts get
a space in front, and how ids become text again. llama.cpp's SentencePiece (``llm_tokenizer_spm``)
and its BPE on bytes (``llm_tokenizer_bpe``) can do some of it exactly. A few differences cannot be
avoided, and matter for rare texts only: these are ``Limit``. Everything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.pipeline_steps import (
    ByteLevel,
    Metaspace,
    Nfc,
    Normalizer,
    Pattern,
    Prepend,
    PreTokenizer,
    Replace,
    Split,
    decoder_names,
    parse_normalizers,
    parse_pre_tokenizers,
)
from baize_convert.vocabulary.pre_tokenizers import (
    APPROXIMATED,
    converter_name,
    find_pre_tokenizer,
    known_name,
)
from baize_convert.vocabulary.sentencepiece_model import SentencePieceModel
from baize_convert.vocabulary.tokenizer_files import TokenizerFile, TokenizerModel
from baize_convert.vocabulary.tokenizer_library import tokens_that_merges_do_not_make

TokenizerModelName = Literal["llama", "gpt2"]
"""``tokenizer.ggml.model``: SentencePiece, and BPE on bytes."""
SPACE = "▁"
BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_TO_SPACE = Replace(Pattern(text=" "), SPACE)
_SECOND_SPACE = Replace(Pattern(regex=r"\A▁"), SPACE * 2)
"""As transformers writes a SentencePiece model that begins every text with a space: ``Metaspace``
adds none where there is one already."""
_DECODERS = {
    "gpt2": frozenset({"ByteLevel"}),
    "llama": frozenset({"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}),
}


class Limit(Enum):
    """What llama.cpp does otherwise, in texts that contain the rare case."""

    TOKEN_FLAGS = (
        "llama.cpp ignores lstrip, rstrip, single_word and normalized of added tokens, so that "
        "spaces beside them become tokens"
    )
    SPACE_PREFIX = (
        "llama.cpp puts a space in front of every text between special tokens, this tokenizer only "
        "in front of the first, and only if it has none"
    )
    COMPOSITION = (
        "llama.cpp does not compose letters and accents (NFC): decomposed text gets other tokens"
    )
    LETTER_CASE = (
        "llama.cpp's pre-tokenizer knows upper and lower case, and combining marks, in ASCII only: "
        "some words in other scripts get other tokens"
    )


@dataclass(frozen=True)
class TokenizerKind:
    """A tokenizer of llama.cpp."""

    model: TokenizerModelName
    pre: str = "default"
    space_prefix: bool = False
    """SentencePiece: every text begins with a space."""
    isolated: tuple[str, ...] = ()
    """Tokens that are matched in the text before anything else, although they are not "added"."""
    limits: tuple[Limit, ...] = ()


def kind_of_tokenizer_file(file: Path, tokenizer: TokenizerFile, pre: str | None) -> TokenizerKind:
    """The kind of the ``tokenizer.json`` that was read from ``file``.

    ``pre`` is llama.cpp's name of the pre-tokenizer of a BPE on bytes, None to find it.

    Raises:
        ConvertError: llama.cpp has no such tokenizer; the message names the step that it lacks.
    """
    try:
        normalizers = parse_normalizers(tokenizer.normalizer)
        steps = parse_pre_tokenizers(tokenizer.pre_tokenizer)
        decoders = decoder_names(tokenizer.decoder)
    except ConvertError as error:
        raise ConvertError(f"{file}: {error}") from error
    _check_model(file, tokenizer.model)
    if tokenizer.model.byte_fallback:
        kind = _sentencepiece_kind(file, tokenizer, normalizers, steps)
    else:
        kind = _bytes_kind(file, tokenizer, normalizers, steps, pre)
    if unknown := [name for name in decoders if name not in _DECODERS[kind.model]]:
        raise _refused(file, f"its decoder {unknown[0]}")
    if any(
        token.lstrip or token.rstrip or token.single_word for token in tokenizer.added_tokens
    ) or (normalizers and any(token.normalized for token in tokenizer.added_tokens)):
        return replace(kind, limits=(*kind.limits, Limit.TOKEN_FLAGS))
    return kind


def kind_of_sentencepiece_model(
    file: Path, model: SentencePieceModel, add_prefix_space: bool | None = None
) -> TokenizerKind:
    """The kind of a ``tokenizer.model`` without a ``tokenizer.json``.

    ``add_prefix_space`` of ``tokenizer_config.json`` counts more than the model's own setting.

    Raises:
        ConvertError: see ``kind_of_tokenizer_file``.
    """
    if not model.is_bpe:
        raise _refused(file, "that it is no BPE but a Unigram model")
    if model.normalization:
        raise _refused(file, f"its normalizer {model.normalization}")
    if model.removes_extra_spaces:
        raise _refused(file, "that it removes extra spaces")
    if not model.escapes_spaces or model.space_is_suffix:
        raise _refused(file, "how it writes spaces")
    prefix = model.adds_dummy_prefix if add_prefix_space is None else add_prefix_space
    return TokenizerKind(
        "llama", space_prefix=prefix, limits=(Limit.SPACE_PREFIX,) if prefix else ()
    )


def _check_model(file: Path, model: TokenizerModel) -> None:
    if model.type not in (None, "BPE") or not model.ids():
        raise _refused(file, f"that its model is {model.type or 'no BPE'}, not a BPE")
    if model.dropout:
        raise _refused(file, f"dropout {model.dropout} of its model")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if getattr(model, name):
            raise _refused(file, f"{name} {getattr(model, name)!r} of its model")


# --- SentencePiece ------------------------------------------------------------------------------


def _sentencepiece_kind(
    file: Path,
    tokenizer: TokenizerFile,
    normalizers: Sequence[Normalizer],
    steps: Sequence[PreTokenizer],
) -> TokenizerKind:
    """The kind of a BPE on characters, with bytes for unknown ones."""
    rest: list[PreTokenizer] = list(steps)
    isolated: tuple[str, ...] = ()
    if rest and isinstance(rest[-1], Split) and (words := _isolated_words(rest[-1], tokenizer)):
        isolated = words
        rest.pop()
    if tokenizer.model.ignore_merges:
        lost = [
            token
            for token in tokens_that_merges_do_not_make(tokenizer)
            if token not in isolated and not BYTE_PIECE.fullmatch(token)
        ]
        if lost:
            raise _refused(file, f"ignore_merges of its model ({lost[0]!r} results from no merges)")
    if rest and _splits_nothing(rest[0]):
        rest.pop(0)
    match (tuple(normalizers), tuple(rest)):
        case ((Prepend(prepend="▁"), spaces), ()) if spaces == _TO_SPACE:
            return _prefixed(isolated, exactly=True)
        case ((spaces,), ()) if spaces == _TO_SPACE:
            return TokenizerKind("llama", isolated=isolated)
        case ((spaces, second), (Metaspace(replacement="▁", scheme="always") as space,)) if (
            spaces == _TO_SPACE and second == _SECOND_SPACE and _keeps_whole(space, tokenizer)
        ):
            return _prefixed(isolated, exactly=True)
        case ((), (Metaspace(replacement="▁") as space,)) if _keeps_whole(space, tokenizer):
            if space.scheme == "never":
                return TokenizerKind("llama", isolated=isolated)
            return _prefixed(isolated, exactly=False)
    for normalizer in normalizers:
        if normalizer not in (_TO_SPACE, _SECOND_SPACE, Prepend(SPACE)):
            raise _refused(file, f"its normalizer {normalizer}")
    for step in rest:
        if not (isinstance(step, Metaspace) and _keeps_whole(step, tokenizer)):
            raise _refused(file, f"its pre-tokenizer {step}")
    shown = ", ".join(map(str, (*normalizers, *steps))) or "none at all"
    raise _refused(file, f"how it writes spaces ({shown})")


def _prefixed(isolated: tuple[str, ...], *, exactly: bool) -> TokenizerKind:
    """Texts begin with a space; ``exactly`` says that each one does, also after added tokens."""
    limits = () if exactly and not isolated else (Limit.SPACE_PREFIX,)
    return TokenizerKind("llama", space_prefix=True, isolated=isolated, limits=limits)


def _splits_nothing(step: PreTokenizer) -> bool:
    """Gemma's step that splits at spaces, of which its normalizer has left none."""
    return isinstance(step, Split) and step.pattern == Pattern(text=" ")


def _keeps_whole(step: Metaspace, tokenizer: TokenizerFile) -> bool:
    """Whether splitting at spaces makes no difference: no token has a space but at its start."""
    return not step.split or not any(SPACE in token[1:] for token in tokenizer.model.ids())


def _isolated_words(step: Split, tokenizer: TokenizerFile) -> tuple[str, ...]:
    """The tokens that ``step`` isolates, if it is a list of tokens; else none.

    So does transformers write the user-defined pieces of a SentencePiece model.
    """
    source = step.pattern.regex
    if source is None or step.behavior != "Isolated" or step.invert:
        return ()
    words = [
        re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in re.split(r"(?<!\\)\|", source)
    ]
    if source not in ("|".join(words), "|".join(map(re.escape, words))):
        return ()
    ids = tokenizer.model.ids()
    return tuple(words) if all(word in ids for word in words) else ()


# --- BPE on bytes -------------------------------------------------------------------------------


def _bytes_kind(
    file: Path,
    tokenizer: TokenizerFile,
    normalizers: Sequence[Normalizer],
    steps: Sequence[PreTokenizer],
    pre: str | None,
) -> TokenizerKind:
    for normalizer in normalizers:
        if not isinstance(normalizer, Nfc):
            raise _refused(file, f"its normalizer {normalizer}")
    limits: tuple[Limit, ...] = (Limit.COMPOSITION,) if normalizers else ()
    if known_name(steps) in APPROXIMATED:
        limits = (*limits, Limit.LETTER_CASE)
    if pre is not None:
        return TokenizerKind("gpt2", pre, limits=limits)
    for step in steps:
        if isinstance(step, ByteLevel) and step.add_prefix_space:
            raise _refused(file, "add_prefix_space of its pre-tokenizer ByteLevel")
    ignore_merges = bool(tokenizer.model.ignore_merges)
    found = find_pre_tokenizer(file, steps, ignore_merges=ignore_merges)
    # The flag makes no difference if the merges make every token.
    if found.ignore_merges != ignore_merges and (lost := tokens_that_merges_do_not_make(tokenizer)):
        flag = "ignore_merges" if ignore_merges else "that ignore_merges is not set"
        raise _refused(
            file, f"{flag} of its model ({len(lost)} tokens result from no merges: {lost[0]!r})"
        )
    return TokenizerKind("gpt2", converter_name(file, found), limits=limits)


# --- common -------------------------------------------------------------------------------------


def _refused(file: Path, what: str) -> ConvertError:
    return ConvertError(
        f"{file}: llama.cpp cannot do {what}: texts would get other tokens than in training, so "
        "the model cannot run there"
    )
