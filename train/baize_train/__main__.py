"""``baize-train`` and ``python -m baize_train``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from baize_train.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
