"""What was typed on the command line: texts, and names of files among them.

Every option and argument that takes a text has one of these functions as its ``parser``.
"""

from __future__ import annotations

import os
import re
import sys

from baize_shared.sanitizer import REPLACEMENT
from baize_shared.server_address import SERVER_PREFIX

_NEVER_TYPED = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of an argument."""


def typed_text(argument: str) -> str:
    """``argument`` as it was typed: in the encoding of the terminal, if it is not UTF-8.

    Python reads arguments as it reads names of files, in UTF-8 (``program_start``), and has
    surrogates for other bytes. The result has none, so that it can be stored, sent and printed.
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        raw = _NEVER_TYPED.sub(REPLACEMENT, argument).encode("utf-8", "surrogateescape")
        terminal = getattr(sys.stdout, "encoding", None)  # a stream may have none
        return raw.decode(terminal or "utf-8", "replace")
    return argument


def typed_file(argument: str) -> str:
    """``argument``, which may name a file or a folder: of those, every byte is kept.

    What no file can be called, and the address of a server, is a text.
    """
    if argument.startswith(SERVER_PREFIX):
        return typed_text(argument)
    try:
        os.fsencode(argument)
    except UnicodeEncodeError:
        return typed_text(argument)
    return argument
