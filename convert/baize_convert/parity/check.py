"""The check that every merge makes before it writes weights: do texts get the same tokens?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.parity.conversations import source_template
from baize_convert.parity.source_tokenizers import open_source_tokenizer
from baize_convert.parity.tokenizers import TokenizerComparison, compare_tokenizers
from baize_convert.sources.folder_files import TOKENIZER_FILES
from baize_convert.vocabulary.reading import read_source

_ALLOW = "--allow-tokenizer-difference"
_compared: dict[str, TokenizerComparison] = {}
"""Results by what was compared: a process may merge many adapters into one base."""


class TokenizerDiffers(ConvertError):
    """llama.cpp would give texts other tokens than the source's tokenizer does."""

    def __init__(self, message: str, comparison: TokenizerComparison) -> None:
        super().__init__(message)
        self.comparison = comparison


def check_tokenizer(
    tokenizer: Path,
    result: Path,
    *,
    vocabulary_hash: str,
    pre: str | None = None,
    chat_template: str | None = None,
    left_out: Collection[str] = (),
) -> TokenizerComparison:
    """Compare the vocabulary in the GGUF file ``result`` with the folder ``tokenizer``.

    ``vocabulary_hash`` is that of all ``tokenizer.*`` keys of the file, ``pre`` the pre-tokenizer
    that a person named, ``chat_template`` what replaces the source's template, and ``left_out`` are
    the tokens for which the model has no embedding.

    Raises:
        TokenizerDiffers: there is a difference that no known limit of llama.cpp explains.
        ConvertError: the comparison is impossible.
    """
    key = f"{vocabulary_hash} {_hash_of_files(tokenizer)} {pre} {chat_template}"
    if key not in _compared:
        try:
            template = source_template(read_source(tokenizer)[0], chat_template)
            with open_source_tokenizer(tokenizer, pre) as source:
                _compared[key] = compare_tokenizers(source, result, template, left_out)
        except ConvertError as error:
            raise ConvertError(
                f"the tokenizer cannot be compared with that of the source: {error}; {_ALLOW} "
                "writes the file unchecked"
            ) from error
    comparison = _compared[key]
    if comparison.differences:
        count = len(comparison.differences)
        raise TokenizerDiffers(
            f"llama.cpp would read {count} of {comparison.lines} texts otherwise than the "
            f"tokenizer in {tokenizer}: {_ALLOW} writes the file in spite of it",
            comparison,
        )
    return comparison


def _hash_of_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in (*(folder / name for name in TOKENIZER_FILES), *folder.glob("*/*.jinja")):
        if file.is_file():
            content = file.read_bytes()
            digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
