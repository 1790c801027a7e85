"""``baize-tui``: a start without arguments goes straight to the client, all else to the CLI."""

from __future__ import annotations

import os
import sys

_COMPLETION = "_BAIZE_TUI_COMPLETE"
"""Set by a shell that wants completions."""


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # Not imported at the top: the command line costs a start of the client 70 ms.
    if len(sys.argv) == 1 and _COMPLETION not in os.environ:
        from baize_tui.cli.failures import exit_code_of
        from baize_tui.cli.start import start_client

        sys.exit(exit_code_of(start_client))
    from baize_tui.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
