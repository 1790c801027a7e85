"""``baize-tui``: a plain start goes straight to the client, all else to the command line."""

from __future__ import annotations

import gc
import os
import sys

from baize_shared.program_start import end_process, prepare_process

_COMPLETION = "_BAIZE_TUI_COMPLETE"
"""Set by a shell that wants completions."""


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    prepare_process("baize-tui")
    # Not imported at the top: the command line costs a start of the client 70 ms.
    if sys.argv[1:] in ([], ["--continue"], ["-c"]) and _COMPLETION not in os.environ:
        # A start makes objects that stay; looking for garbage among them takes a tenth of it. The
        # client turns the collector on again after its first frame.
        gc.disable()
        from baize_tui.cli.failures import exit_code_of
        from baize_tui.cli.start import StartOptions, start_client

        options = StartOptions(newest=len(sys.argv) > 1)
        end_process(exit_code_of(lambda: start_client(options)))
    from baize_tui.cli.main import run

    end_process(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
