"""The shape of the hub's answers: what is not of this shape never becomes a name or a size here."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from baize_convert.failures import ConvertError
from baize_convert.hub.errors import Subject
from baize_shared.json_errors import JSON_ERRORS

COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r'(?:W/)?"?([0-9a-f]{40,64})"?')
_SIZE = re.compile(r"[0-9]{1,15}")
_NAME_LIMIT = 1024
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


class _Sibling(Struct, frozen=True):
    rfilename: Annotated[str, Meta(min_length=1, max_length=_NAME_LIMIT)]


class RepositoryInfo(Struct, frozen=True):
    """The answer to ``/api/models/OWNER/NAME``: its commit and the names of its files."""

    sha: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
    siblings: Annotated[list[_Sibling], Meta(max_length=100_000)] = []


def parse_info(name: Subject, body: bytes) -> tuple[str, frozenset[str]]:
    """Commit and files of a repository; names that no system can store are left out.

    Raises:
        ConvertError: the answer has another shape, or a file is outside the repository.
    """
    try:
        info = msgspec.json.decode(body, type=RepositoryInfo)
    except JSON_ERRORS as error:
        raise ConvertError(
            f"{name}: the answer is not the hub's ({error}): a proxy may be in the way, or "
            "HF_ENDPOINT names another server"
        ) from error
    names = [sibling.rfilename for sibling in info.siblings]
    for file in names:
        check_file_name(name, file)
    return info.sha, frozenset(file for file in names if _is_storable(file))


def check_file_name(name: Subject, file: str) -> None:
    """Check that ``file`` names a file inside a repository.

    Raises:
        ConvertError: it is absolute or leads out of it.
    """
    parts = file.replace("\\", "/").split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in file or file[1:2] == ":":
        raise ConvertError(f"{name}: {file[:200]!r} is not the name of a file in a repository")


def _is_storable(file: str) -> bool:
    return (
        "\\" not in file
        and file.isprintable()
        and not any(_DEVICE.match(part) for part in file.split("/"))
        and max(len(part.encode("utf-8", "replace")) for part in file.split("/")) <= 255
    )


def parse_etag(text: str | None) -> str | None:
    """The hash in an ETag of the hub; None for anything else, as it becomes the name of a file."""
    match = _ETAG.fullmatch(text or "")
    return None if match is None else match[1]


def parse_size(text: str | None) -> int | None:
    """A number of bytes in a header; None if it is none."""
    return int(text) if text is not None and _SIZE.fullmatch(text) else None
