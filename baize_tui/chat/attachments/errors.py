"""Why a file cannot be attached."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError


class AttachmentFailed(OneLineError):
    """A file cannot be attached; the message names it and says why."""
