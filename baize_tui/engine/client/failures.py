"""How requests to the engine fail."""

from __future__ import annotations

import signal
from pathlib import Path

from baize_shared.one_line_error import OneLineError
from baize_tui.engine.protocol import FailureKind


class EngineFailure(OneLineError):
    """A request failed; the message is one sanitized line."""

    def __init__(
        self, why: str, kind: FailureKind = "engine", tokens: int = 0, n_ctx: int = 0
    ) -> None:
        """``tokens`` of the prompt and ``n_ctx`` of the context belong to ``too_long``."""
        super().__init__(why)
        self.kind = kind
        self.tokens = tokens
        self.n_ctx = n_ctx


class TemplateTimeout(EngineFailure):
    """A chat template ran too long, and the worker was killed to end it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the chat template did not end within {seconds} s; choose another prompt format "
            "(chat.format in the settings, or --format), such as chatml",
            "template",
        )


class WorkerDied(EngineFailure):
    """The model process ended by itself; the next request starts a new one."""

    def __init__(
        self, why: str, *, killed_by: signal.Signals | None = None, log: Path | None = None
    ) -> None:
        """``log`` is a file that may have details."""
        super().__init__(f"{why}; see {log}" if log is not None else why)
        self.why = why
        """The message without the log file."""
        self.killed_by = killed_by


class NoProfileLeft(WorkerDied):
    """The model process died under every machine profile."""
