"""Whether the network is forbidden: by ``--offline``, or as for huggingface_hub."""

from __future__ import annotations

import os

OFFLINE_VARIABLE = "HF_HUB_OFFLINE"
_YES = {"1", "on", "yes", "true"}


def is_offline() -> bool:
    """Whether no other computer may be asked for anything."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() in _YES
