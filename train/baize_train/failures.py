"""The one way a command fails."""

from __future__ import annotations


class TrainError(Exception):
    """It cannot go on; the message is one line that names what is wrong and what to do."""
