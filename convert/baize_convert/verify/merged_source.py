"""The float32 merge that a converted file is compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.plan import Plan


@contextmanager
def write_merged_source(
    plan: Plan, folder: Path, progress: Callable[[int], object] = lambda _: None
) -> Iterator[Path]:
    """Write the output of ``plan`` to a temporary file in ``folder``, removed after the block.

    ``progress`` is called with the number of bytes that were written.

    Raises:
        ConvertError: see ``merge``; or the folder cannot be written to.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix=".verify-", dir=folder)
    except OSError as error:
        raise ConvertError(f"{folder}: {error.strerror}") from error
    with temporary as name:
        source = Path(name) / "source.gguf"
        # The caller compares the tokenizer of the file that it verifies.
        merge(plan, source, progress=progress, allow_tokenizer_difference=True)
        yield source
