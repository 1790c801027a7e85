"""What a form that cannot be used raises."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError


class UnusableForm(OneLineError):
    """A JSON schema, a regular expression or a grammar cannot be used; the message says why."""
