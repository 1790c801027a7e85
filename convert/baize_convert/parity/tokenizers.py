"""Compares the tokenizer of a converted file with that of its source."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from baize_convert.parity.conversations import (
    SourceTemplate,
    find_text_behind_answer,
    write_conversations,
)
from baize_convert.parity.llama_model import LlamaVocabulary, TemplateFailure, open_vocabulary
from baize_convert.parity.source_tokenizers import SourceTokenizer
from baize_convert.parity.text import special_sample, special_samples, text_samples
from baize_convert.vocabulary.tokenizer_kind import Limit

_FRAMED = ["", "Hello"]


@dataclass(frozen=True)
class TokenizationDifference:
    """A text with the ids that the source and the result give it."""

    line: str
    source: list[int]
    result: list[int]


@dataclass(frozen=True)
class TokenizerComparison:
    """The number of texts compared, and those that differ."""

    lines: int
    differences: tuple[TokenizationDifference, ...]
    limits: tuple[Limit, ...] = ()
    """What llama.cpp cannot do, and does otherwise in some of the texts."""
    limited: int = 0
    """The texts that differ as ``limits`` say."""
    template_failure: str | None = None
    """Why the source's chat template makes nothing of a conversation."""
    behind_answer: str | None = None
    """What the source's chat template puts behind an answer; None if that is not known."""

    @property
    def notices(self) -> list[str]:
        """What a person should know, a line each."""
        lines = [limit.value for limit in self.limits]
        if self.template_failure is not None:
            lines.append(f"a conversation cannot be compared: {self.template_failure}")
        return lines

    @property
    def equal(self) -> int:
        """Texts with the same ids."""
        return self.lines - len(self.differences) - self.limited


def compare_tokenizers(
    source: SourceTokenizer,
    result: Path,
    template: SourceTemplate | None = None,
    left_out: Collection[str] = (),
) -> TokenizerComparison:
    """Tokenize a text in many scripts and all special tokens but those ``left_out`` with both.

    With ``template``, also what it and the template in ``result`` make of a conversation.

    Raises:
        ConvertError: llama.cpp cannot read the vocabulary of ``result``.
    """
    with open_vocabulary(result) as vocabulary:
        comparison = _Comparison(source, vocabulary)
        comparison.add(text_samples())
        comparison.add_specials([text for text in source.specials if text not in left_out])
        comparison.add(_FRAMED, add_special=True)
        if template is not None:
            comparison.add_conversation(template)
        return comparison.result()


@dataclass
class _Comparison:
    """Compares texts and keeps what differs."""

    source: SourceTokenizer
    vocabulary: LlamaVocabulary
    lines: int = 0
    limited: int = 0
    limits: list[Limit] = field(default_factory=list)
    differences: list[TokenizationDifference] = field(default_factory=list)
    template_failure: str | None = None
    behind_answer: str | None = None

    def add(
        self, texts: list[str], theirs: list[str] | None = None, *, add_special: bool = False
    ) -> None:
        """Compare ``texts``; llama.cpp gets ``theirs`` if given."""
        self.lines += len(texts)
        for text, expected, actual in self._differing(texts, theirs or texts, add_special):
            limits = self._explained(text, actual, add_special)
            if limits is None:
                self.differences.append(TokenizationDifference(text, expected, actual))
            else:
                self.limited += 1
                self.limits += [limit for limit in limits if limit not in self.limits]

    def add_specials(self, specials: Sequence[str]) -> None:
        """Compare texts with special tokens; of a group that differs, each token on its own."""
        known = len(self.differences)
        self.add(special_samples(specials))
        if len(self.differences) == known:
            return
        lines, limited = self.lines, self.limited
        groups, self.differences = self.differences, self.differences[:known]
        self.add([text for special in specials for text in (special, special_sample(special))])
        self.lines, self.limited = lines, limited
        self.differences = self.differences if len(self.differences) > known else groups

    def add_conversation(self, template: SourceTemplate) -> None:
        """Compare what both templates make of a conversation."""
        try:
            expected, actual = write_conversations(template, self.vocabulary)
        except TemplateFailure as failure:
            self.template_failure = str(failure)
        else:
            self.add([expected], [actual])
            self.behind_answer = find_text_behind_answer(expected)

    def result(self) -> TokenizerComparison:
        return TokenizerComparison(
            self.lines,
            tuple(self.differences),
            tuple(self.limits),
            self.limited,
            self.template_failure,
            self.behind_answer,
        )

    def _differing(
        self, texts: list[str], theirs: list[str], add_special: bool
    ) -> Iterator[tuple[str, list[int], list[int]]]:
        expected = self.source.encode(texts, add_special=add_special)
        actual = self.vocabulary.encode(theirs, add_special=add_special)
        for text, wanted, ids in zip(texts, expected, actual, strict=True):
            if wanted != ids:
                yield text, wanted, ids

    def _explained(
        self, text: str, actual: list[int], add_special: bool
    ) -> tuple[Limit, ...] | None:
        """The fewest limits with which the source's tokenizer gives ``actual``; None if none do."""
        for count in range(1, len(self.source.limits) + 1):
            for limits in combinations(self.source.limits, count):
                (ids,) = self.source.encode(
                    [text], add_special=add_special, limits=frozenset(limits)
                )
                if ids == actual:
                    return limits
        return None
