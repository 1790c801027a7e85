"""``tokenizer.model``, which is a SentencePiece model or, beside LLaMA 3, a list for tiktoken."""

from __future__ import annotations

import re
from pathlib import Path

from baize_convert.failures import ConvertError

_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
"""A token in base64 and its rank; a SentencePiece model begins with the byte 0x0A."""


def sentencepiece_file(folder: Path) -> Path | None:
    """``tokenizer.model`` in a folder if it is a SentencePiece model; None if there is none.

    A list for tiktoken (LLaMA 3's original format) does not count: ``tokenizer.json`` beside it
    has the same tokens.

    Raises:
        ConvertError: the file cannot be read, or is for tiktoken and there is no tokenizer.json.
    """
    file = folder / "tokenizer.model"
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            is_tiktoken = _TIKTOKEN.match(opened.read(4096)) is not None
    except OSError as error:
        raise ConvertError(f"{file}: {error.strerror}") from error
    if not is_tiktoken:
        return file
    if not (folder / "tokenizer.json").is_file():
        raise ConvertError(
            f"{file} is for tiktoken, not for SentencePiece: add the tokenizer.json of the model"
        )
    return None
