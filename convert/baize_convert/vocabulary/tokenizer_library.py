"""The tokenizers library, imported only where it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baize_convert.failures import ConvertError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """The ``tokenizer.json`` at ``file``.

    Raises:
        ConvertError: the tokenizers library cannot read it.
    """
    from tokenizers import Tokenizer  # only few conversions need it

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        why = " ".join(str(error).split())[:200]
        raise ConvertError(f"{file}: not a tokenizer: {why}") from error
