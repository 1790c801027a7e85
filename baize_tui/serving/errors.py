"""Why nothing is served; each message is one line that says what to do."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError


class AddressInUse(OneLineError):
    """The server cannot listen there."""


class EndpointFailed(OneLineError):
    """There is no server, it cannot be started, or it has ended."""


class TokenError(OneLineError):
    """The token cannot be used; the message never has the token."""
