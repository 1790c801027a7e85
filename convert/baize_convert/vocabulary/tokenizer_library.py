"""The tokenizers library, imported only where it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baize_convert.failures import ConvertError, reason

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """Load a ``tokenizer.json``.

    Raises:
        ConvertError: the tokenizers library cannot read it.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ConvertError(f"{file}: not a tokenizer: {reason(error)}") from error
