"""How requests to the engine fail."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from baize_shared.one_line_error import OneLineError
from baize_tui.engine.protocol import FailureKind
from baize_tui.engine.protocol.requests import AnyRequest
from baize_tui.translation import msg, tr, tr_foreign


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


ENDLESS = msg(
    "the chat template did not end within {seconds} s; choose another prompt format (chat.format "
    "in the settings, or --format), such as chatml"
)
STARTING, FIRST_TOKEN, ANSWERING = (
    msg("starting"),
    msg("computing a first token"),
    msg("answering"),
)
"""What a worker does beside the activities of requests."""
EXITED = msg("the model process ended (exit code {code})")
ENDED_BY = msg("the model process was ended by {signal}")
ENDED_WHILE = msg("{why} while {activity}")
PERHAPS_MEMORY = msg("{why} (perhaps too little memory)")


def death_text(why: str) -> str:
    """``why`` a worker died, which is noted in English, in the person's language."""
    activities = (
        STARTING,
        FIRST_TOKEN,
        ANSWERING,
        *(kind.activity for kind in get_args(AnyRequest)),
    )
    return tr_foreign(why, (ENDED_WHILE, PERHAPS_MEMORY, ENDED_BY, EXITED, *activities))


class TemplateTimeout(EngineFailure):
    """A chat template ran too long, and the worker was killed to end it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(tr(ENDLESS, seconds=seconds), "template")


class WorkerDied(EngineFailure):
    """The model process ended by itself; the next request starts a new one."""

    def __init__(self, why: str, *, killed_by: int | None = None, log: Path | None = None) -> None:
        """``log`` is a file that may have details."""
        shown = death_text(why)
        super().__init__(tr("{why}; see {log}", why=shown, log=log) if log is not None else shown)
        self.why = why
        """The message without the log file, in English."""
        self.killed_by = killed_by


class NoProfileLeft(WorkerDied):
    """The model process died under every machine profile."""
