"""The formats that can be imported, by name; apart from their modules, which a command line loads
only when it needs them."""

from __future__ import annotations

from typing import Literal

from baize_tui.translation import msg

ImportFormat = Literal["json", "chatgpt", "claude", "open-webui", "sharegpt", "baize"]
NAMES: dict[ImportFormat, str] = {
    "json": "baize-tui",
    "chatgpt": "ChatGPT",
    "claude": "Claude",
    "open-webui": "Open WebUI",
    "sharegpt": "ShareGPT",
    "baize": msg("Baize corpus"),
}
"""What a person calls them."""
