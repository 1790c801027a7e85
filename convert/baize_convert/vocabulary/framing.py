"""Which ids a tokenizer puts in front of a text and behind it: BOS and EOS.

The post-processor of ``tokenizer.json`` decides. Only without that file do ``add_bos_token`` and
``add_eos_token`` of ``tokenizer_config.json`` count, as in transformers 5
(``PreTrainedTokenizerBase._from_pretrained``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.llama_pre_tokenizers import ADD_BEGIN
from baize_convert.vocabulary.pipeline_steps import (
    BertProcessing,
    ByteLevel,
    RobertaProcessing,
    TemplateProcessing,
    parse_post_processors,
)
from baize_convert.vocabulary.tokenizer_files import TokenizerConfig, TokenizerFile
from baize_convert.vocabulary.tokenizer_kind import TokenizerKind


@dataclass(frozen=True)
class Framing:
    """Ids around a text, None for none."""

    begin: int | None = None
    end: int | None = None
    explicit: bool = False
    """Whether a file says so, rather than being silent."""


def read_framing(
    folder: Path,
    tokenizer: TokenizerFile | None,
    settings: TokenizerConfig,
    special_ids: Mapping[str, int],
) -> Framing:
    """What the tokenizer in ``folder`` adds; ``special_ids`` are its named tokens.

    Raises:
        ConvertError: it adds more than one token at one end, or a step is unknown.
    """
    flagged = settings.add_bos_token is not UNSET or settings.add_eos_token is not UNSET
    if tokenizer is None:
        # SentencePiece alone says nothing; LLaMA's tokenizer of transformers 4 begins with BOS.
        return Framing(
            special_ids.get("bos") if settings.add_bos_token in (True, UNSET) else None,
            special_ids.get("eos") if settings.add_eos_token is True else None,
            explicit=flagged,
        )
    file = folder / "tokenizer.json"
    before, after, explicit = _ids_around(file, tokenizer)
    if len(before) > 1 or len(after) > 1:
        raise ConvertError(
            f"{file}: its post-processor adds {len(before)} tokens in front of a text and "
            f"{len(after)} behind it; llama.cpp can add one each"
        )
    return Framing(
        before[0] if before else None, after[0] if after else None, explicit=explicit or flagged
    )


def begins_by_default(kind: TokenizerKind) -> bool:
    """Whether llama.cpp adds BOS if no key says otherwise (``llama_vocab::impl::load``)."""
    return kind.model == "llama" or kind.pre in ADD_BEGIN


def _ids_around(file: Path, tokenizer: TokenizerFile) -> tuple[list[int], list[int], bool]:
    """The ids before and after a text, and whether a step could have added any."""
    before: list[int] = []
    after: list[int] = []
    explicit = False
    try:
        steps = parse_post_processors(tokenizer.post_processor)
    except ConvertError as error:
        raise ConvertError(f"{file}: {error}") from error
    for step in steps:
        match step:
            case ByteLevel():
                continue
            case TemplateProcessing():
                first, last = _template_ids(file, step)
                before, after = first + before, after + last
            case RobertaProcessing(cls=cls, sep=sep) | BertProcessing(cls=cls, sep=sep):
                before, after = [cls[1], *before], [*after, sep[1]]
            case _:
                raise ConvertError(f"{file}: llama.cpp cannot do its post-processor {step}")
        explicit = True
    return before, after, explicit


def _template_ids(file: Path, step: TemplateProcessing) -> tuple[list[int], list[int]]:
    before: list[int] = []
    after: list[int] = []
    texts = 0
    for item in step.single:
        special: Any = item.get("SpecialToken")
        if special is None:
            texts += 1
            continue
        token = step.special_tokens.get(str(special.get("id")))
        if token is None:
            raise ConvertError(f"{file}: its post-processor adds a token without an id")
        (after if texts else before).extend(token.ids)
    if texts != 1:
        raise ConvertError(f"{file}: its post-processor repeats or drops the text")
    return before, after
