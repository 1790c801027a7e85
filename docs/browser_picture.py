"""Draw the picture of the client in a browser, with real Chromium and the real model::

python docs/browser_picture.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.chromium import ENTER, IS_INSTALLED, WHY_NONE, chromium
from tests.browser.web import web

PICTURE = Path(__file__).resolve().parent / "browser.png"
SETTINGS = "[sampling]\ntemperature = 0.0\n\n[idle]\nwork = 'never'\n"


def main() -> None:
    """Ask a question in a page, and keep what it looks like."""
    if not IS_INSTALLED:
        sys.exit(WHY_NONE)
    with tempfile.TemporaryDirectory() as home:
        os.environ["BAIZE_HOME"] = home
        config = Path(home, "config")
        config.mkdir()
        (config / "config.toml").write_text(SETTINGS)
        with web() as served, chromium(1100, 700) as browser:
            browser.open(served.url)
            browser.wait_for_text("SmolLM2")
            browser.type("What is the capital of France?" + ENTER)
            browser.wait_for_text("tokens/s ·")
            PICTURE.write_bytes(browser.screenshot())


if __name__ == "__main__":
    main()
