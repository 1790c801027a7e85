"""Install llama-cpp-python into the environment of this Python, built for this machine::

    .venv/bin/python -m build_llama

It does nothing where the version that pyproject.toml pins can be imported already. Exit codes: 0
done, 1 failed (the last lines say why), 128 + N ended by signal N.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from build_llama.attempts import build_attempts
from build_llama.installation import Installation, Programs, pinned_version
from build_llama.machine import compilers, parallel_compilers, processor
from build_llama.running import Cancelled, cancelled_by_signals


def main(programs: Programs, folder: Path) -> int:
    """Install, with a log in ``folder``, and return the exit code."""
    log = folder / "llama-build.log"
    installation = Installation(pinned_version(), log, sys.stdout, programs)
    try:
        with cancelled_by_signals():
            if installation.done():
                return 0
            log.unlink(missing_ok=True)
            environment = {**os.environ, **compilers(os.environ)}
            attempts = build_attempts(environment, parallel_compilers(), processor())
            return 0 if installation.install(attempts) else 1
    except Cancelled as cancelled:
        print(f"\nStopped by {cancelled}.", file=sys.stderr)
        return cancelled.exit_code


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the bar, where the locale has no such characters
    sys.exit(main(Programs(), Path(sys.prefix)))
