"""Text from the command line."""

from __future__ import annotations

import os
import sys


def typed_text(argument: str) -> str:
    """``argument`` as it was typed: in the encoding of the terminal, if it is not UTF-8.

    Python reads arguments as it reads names of files, in UTF-8 (``program_start``).
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        return os.fsencode(argument).decode(sys.stdout.encoding, "replace")
    return argument
