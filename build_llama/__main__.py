"""Install llama-cpp-python into the environment of this Python, built for this machine::

    .venv/bin/python -m build_llama

It does nothing if the version that pyproject.toml pins can already be imported. Exit codes: 0 done,
1 failed (the last lines say why), 128 + N ended by signal N.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from build_llama.attempts import build_attempts
from build_llama.installation import Installation, Programs, pinned_version
from build_llama.machine import compiler_variables, parallel_compilers, processor_features
from build_llama.running import Cancelled, cancelled_by_signals


def main(programs: Programs, folder: Path) -> int:
    """Install and return the exit code; the log is written to ``folder``."""
    log = folder / "llama-build.log"
    installation = Installation(pinned_version(), log, sys.stdout, programs)
    try:
        with cancelled_by_signals():
            if installation.is_installed():
                return 0
            log.unlink(missing_ok=True)
            environment = {**os.environ, **compiler_variables(os.environ)}
            attempts = build_attempts(environment, parallel_compilers(), processor_features())
            return 0 if installation.install(attempts) else 1
    except Cancelled as cancelled:
        print(f"\nStopped by {cancelled}.", file=sys.stderr)
        return cancelled.exit_code


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for locales without the characters of the bar
    sys.exit(main(Programs(), Path(sys.prefix)))
