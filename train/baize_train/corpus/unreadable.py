"""Why a record is skipped."""

from __future__ import annotations


class UnreadableRecord(Exception):
    """A record is not a dialogue; the message says why, for the user."""
