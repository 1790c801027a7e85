"""``python -m baize_convert``."""

from __future__ import annotations

from baize_convert.cli import main

if __name__ == "__main__":
    main()
