"""``baize-convert``: plan and merge."""

from __future__ import annotations

from baize_convert.cli.commands import main

if __name__ == "__main__":
    main()
