"""Small files that stand where a large one should be."""

from __future__ import annotations

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<error")


def refuse_placeholder(file: ByteSource) -> None:
    """Check that ``file`` is not a pointer of Git LFS, and not an answer of a web server.

    Raises:
        ConvertError: it is; the message says how to get the file itself.
    """
    begin = file.read(0, 64)
    if begin.startswith(_LFS_POINTER):
        raise ConvertError(
            f"{file.path} is a pointer of Git LFS, not the file itself: run git lfs pull in its "
            "folder, or download it with hf download"
        )
    if begin.lstrip().lower().startswith(_MARKUP):
        raise ConvertError(
            f"{file.path} is a web page, which a server sent instead of the file: download it again"
        )
