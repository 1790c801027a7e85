"""Compares the tokenizer of a converted file with that of its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from baize_convert.verify.llama_model import open_tokenizer
from baize_convert.verify.source_tokenizers import SourceTokenizer
from baize_convert.verify.text import verification_text


@dataclass(frozen=True)
class TokenizationDifference:
    """A line with the ids that the source and the result give it."""

    line: str
    source: list[int]
    result: list[int]


@dataclass(frozen=True)
class TokenizerComparison:
    """The number of lines compared, and those that differ."""

    lines: int
    differences: tuple[TokenizationDifference, ...]

    @property
    def equal(self) -> int:
        """Lines with the same ids."""
        return self.lines - len(self.differences)


def compare_tokenizers(source: SourceTokenizer, result: Path) -> TokenizerComparison:
    """Tokenize each line of the text with both, and the whole text, which contains line ends.

    Raises:
        ConvertError: llama.cpp cannot read the vocabulary of ``result``.
    """
    text = verification_text()
    lines = [*(line for line in text.split("\n") if line), text]
    differences = []
    with open_tokenizer(result) as tokenize:
        for line in lines:
            expected, actual = source(line), tokenize(line)
            if actual != expected:
                differences.append(TokenizationDifference(line, expected, actual))
    return TokenizerComparison(len(lines), tuple(differences))
