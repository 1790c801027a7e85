"""A GGUF as llama.cpp loads it, to hold a result against its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baize_convert.failures import ConvertError
from baize_convert.gguf_file import read_gguf

if TYPE_CHECKING:
    from llama_cpp import Llama


def load(path: Path, **options: Any) -> Llama:
    """Load ``path``; ``options`` are those of ``llama_cpp.Llama``.

    Raises:
        ConvertError: llama.cpp cannot read it.
    """
    import llama_cpp  # half a second, and only ``verify`` needs it

    llama_cpp.llama_log_set(_silence(), None)
    read_gguf(path)  # a damaged file could abort the process inside llama.cpp
    try:
        return llama_cpp.Llama(str(path), verbose=False, **options)
    except (ValueError, RuntimeError) as error:
        raise ConvertError(f"{path}: llama.cpp cannot load it: {error}") from error


@cache
def _silence() -> Any:
    """A log callback that says nothing; kept, as llama.cpp keeps calling it."""
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda *_: None)


def tokens_of(model: Llama, text: str) -> list[int]:
    """Ids of ``text`` alone: nothing before it, and no special token in it."""
    return list(model.tokenize(text.encode(), add_bos=False, special=False))
