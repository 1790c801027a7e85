"""Why the chat cannot answer."""

from __future__ import annotations


class NoModelLoaded(Exception):
    """An answer needs a model and none is loaded."""


class ContextFull(Exception):
    """The conversation no longer fits, and it is set to drop nothing."""


class StoppedBeforeStart(Exception):
    """The person stopped an answer that had not started."""


class NoSummary(Exception):
    """The oldest turns could not be summarized."""
