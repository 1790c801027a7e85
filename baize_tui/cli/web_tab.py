"""The client of one tab in a browser: ``python -m baize_tui.cli.web_tab SOCKET [MODEL]``.

``baize-tui web`` starts it for each tab that is opened.
"""

from __future__ import annotations

import sys
from pathlib import Path

from baize_shared.program_start import end_process, prepare_process
from baize_tui.cli.failures import exit_code_of
from baize_tui.cli.start import StartOptions, start_client


def main() -> None:
    """Run the client until its page is closed."""
    prepare_process("baize-tui")
    socket, *model = sys.argv[1:]
    options = StartOptions(model=model[0] if model else None, engine_socket=Path(socket))
    end_process(exit_code_of(lambda: start_client(options)))


if __name__ == "__main__":
    main()
