"""``baize-train`` and ``python -m baize_train``."""

from __future__ import annotations

import sys

from baize_shared.program_start import end_process, prepare_process


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    prepare_process("baize-train")
    # Imported afterwards, as the first step may start Python again.
    from baize_train.cli.app import run

    end_process(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
