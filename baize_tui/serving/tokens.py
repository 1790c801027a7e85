"""The token that an endpoint asks for: from a private file, from the environment, or a new one."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from baize_tui.serving.errors import TokenError
from baize_tui.translation import tr

TOKEN_VARIABLE = "BAIZE_SERVE_TOKEN"
SHORTEST = 16
"""Characters; a shorter one could be guessed."""
_LONGEST = 4096
_TOKEN = re.compile(r"[!-~]+")


def new_token() -> str:
    """A secret of 256 bits, in letters that a URL and a header can have."""
    return secrets.token_urlsafe(32)


def given_token(file: Path | None) -> str | None:
    """The token in ``file``, or in the environment; None if the person gave none.

    Raises:
        TokenError: others can read the file, or there is no token in it.
        OSError: it cannot be read.
    """
    if file is not None:
        return _checked(_read_private(file), str(file))
    given = os.environ.get(TOKEN_VARIABLE, "")
    return _checked(given, TOKEN_VARIABLE) if given else None


def _read_private(file: Path) -> str:
    # Opening a pipe without a writer would wait forever.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise TokenError(tr("{file} is not a regular file", file=file))
        if stat.S_IMODE(mode) & 0o077:
            raise TokenError(tr("others can read the token in {file}: chmod 600 {file}", file=file))
        return opened.read(_LONGEST + 1).decode("utf-8", "replace")


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not SHORTEST <= len(token) <= _LONGEST:
        raise TokenError(
            tr(
                "the token in {place} must have {count} characters or more",
                place=where,
                count=SHORTEST,
            )
        )
    if not _TOKEN.fullmatch(token):
        raise TokenError(
            tr("the token in {place} must be letters, digits and signs in one line", place=where)
        )
    return token
