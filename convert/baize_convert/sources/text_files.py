"""Text files beside a model."""

from __future__ import annotations

from pathlib import Path

from baize_convert.failures import ConvertError


def read_text_file(file: Path) -> str:
    """The text in ``file``.

    Raises:
        ConvertError: it cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConvertError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConvertError(f"{file}: not a text in UTF-8") from error
