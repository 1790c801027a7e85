"""A speaker that asks its servers until one replies, and says when none will.

The request that failed is repeated, not the dialogue. With several servers each request goes to the
least busy one, and the next try to another server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.speakers.request_gate import LONGEST_PAUSE_S, RequestGate, Ticket, backoff_s
from baize_train.speakers.role_order import in_turns
from baize_train.speakers.speaker import (
    NO_COST,
    Backend,
    Cost,
    Reply,
    RequestFailed,
    SamplingOptions,
    SpeakerError,
)

MAX_TRIES = 8
_FIRST_TRIES = 4
"""At a server that has never replied: its address may be wrong."""
_MOST_REFUSED_S = 600.0
"""With nothing but 429s."""
_UNCLEAR_UNTIL_FATAL, _UNCLEAR_IN_A_ROW = 3, 20
"""Before any reply, and after the last one: then no other request succeeds either."""
_KEPT = "what was collected is kept"
_LATER = "run the same command later to continue"


class _Member:
    """One server with its gate."""

    def __init__(self, backend: Backend, most_at_once: int) -> None:
        self.backend = backend
        self.gate = RequestGate(most_at_once)
        self.needs_turns = False
        """Its template takes a user and an assistant in turns, and no more."""


class SteadySpeaker:
    """One model on one or several servers, or on this machine."""

    def __init__(self, backends: Sequence[Backend], at_once: int | None = None) -> None:
        """``at_once``: requests to each server at the same time; None leaves it to the server.

        Raises:
            TrainError: the servers have different models.
        """
        names = list(dict.fromkeys(backend.name for backend in backends))
        if len(names) > 1:
            raise TrainError(f"several servers must have one model, not {' and '.join(names)}")
        self.name = names[0]
        self.supports_grammars = all(backend.supports_grammars for backend in backends)
        self._members = [_Member(each, at_once or each.max_concurrent) for each in backends]
        self.max_concurrent = sum(member.gate.maximum for member in self._members)
        self._unclear = 0
        """Requests that were refused for an unclear reason since the last reply."""

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        """Reply to ``messages``; see ``Speaker``."""
        request = _Request(self, messages, options)
        while True:
            member = min(self._members, key=lambda each: each.gate.load)
            ticket = await member.gate.enter()
            try:
                reply = await request.send(member)
            except SpeakerError as error:
                request.cost = request.cost.plus(error.cost)
                await request.after_failure(member, ticket, error)
            except BaseException:
                member.gate.leave(ticket, "cancelled")
                raise
            else:
                member.gate.leave(ticket, "success")
                self._unclear = 0
                if (limits := member.backend.rate_limits) is not None:
                    member.gate.note_limits(limits)
                return request.with_cost(reply)

    @property
    def last_success(self) -> float | None:
        """When a request last succeeded, on any server."""
        times = [member.gate.last_success for member in self._members]
        return max((at for at in times if at is not None), default=None)

    @property
    def has_others(self) -> bool:
        """Whether there are several servers."""
        return len(self._members) > 1

    def explain_unclear(self, error: SpeakerError, cost: Cost) -> RequestFailed | TrainError:
        """What a refused request means: if the first ones all are, or many in a row, no other will
        succeed."""
        self._unclear += 1
        most = _UNCLEAR_UNTIL_FATAL if self.last_success is None else _UNCLEAR_IN_A_ROW
        if self._unclear >= most:
            return TrainError(f"{error}; {_KEPT}")
        return RequestFailed(str(error), unclear=True, cost=cost)

    async def close(self) -> None:
        for member in self._members:
            await member.backend.close()


class _Request:
    """A request and its failures so far."""

    def __init__(
        self, speaker: SteadySpeaker, messages: Sequence[Turn], options: SamplingOptions
    ) -> None:
        self._speaker, self._messages, self._options = speaker, messages, options
        self._reordered = False
        self._started = time.monotonic()
        self._failures = 0
        self.cost = NO_COST
        """Of the tries that got no reply."""

    def with_cost(self, reply: Reply) -> Reply:
        """``reply`` with the cost of all tries."""
        cost = self.cost.plus(Cost(reply.prompt_tokens, reply.completion_tokens))
        return msgspec.structs.replace(
            reply, prompt_tokens=cost.prompt, completion_tokens=cost.completion
        )

    async def send(self, member: _Member) -> Reply:
        """Ask once.

        Raises:
            SpeakerError: there is no reply.
        """
        messages = self._messages
        if self._reordered or member.needs_turns:
            messages = in_turns(messages)
        reply = await member.backend.reply(messages, self._options)
        member.needs_turns |= self._reordered
        return reply

    async def after_failure(self, member: _Member, ticket: Ticket, error: SpeakerError) -> None:
        """Return when another try makes sense.

        Raises:
            RequestFailed, TrainError: it makes none; see ``Speaker.reply``.
        """
        if error.kind == "rate limit":
            member.gate.leave(ticket, "rate limit", error.retry_after_s)
            self._check_patience(error)
        elif error.kind == "temporary":
            await self._after_temporary(member, ticket, error)
        else:
            member.gate.leave(ticket, "failure")
            self._after_refusal(error)

    def _after_refusal(self, error: SpeakerError) -> None:
        if (
            error.kind in ("template", "unclear")
            and not self._reordered
            and in_turns(self._messages) != list(self._messages)
        ):
            self._reordered = True
            return
        if error.kind in ("request", "later"):
            later = error.kind == "later"
            raise RequestFailed(str(error), later=later, cost=self.cost) from error
        if error.kind in ("template", "unclear"):
            raise self._speaker.explain_unclear(error, self.cost) from error
        raise TrainError(f"{error}; {_KEPT}") from error

    async def _after_temporary(self, member: _Member, ticket: Ticket, error: SpeakerError) -> None:
        self._failures += 1
        member.gate.leave(ticket, "failure", error.retry_after_s)
        self._check_patience(error)
        last = self._speaker.last_success
        if self._failures >= (_FIRST_TRIES if last is None else MAX_TRIES):
            if last is not None and last > self._started:
                raise RequestFailed(str(error), later=True, cost=self.cost) from error
            raise TrainError(f"{error}; {_LATER}") from error
        if self._speaker.has_others:
            member.gate.close_for(backoff_s(self._failures))
        elif error.retry_after_s is None:
            await asyncio.sleep(backoff_s(self._failures))

    def _check_patience(self, error: SpeakerError) -> None:
        """Raises:
        TrainError: the server wants to be left alone for long.
        """
        wait = error.retry_after_s or 0.0
        if wait > LONGEST_PAUSE_S:
            raise TrainError(f"{error}, and asks to wait {wait / 60:,.0f} minutes; {_LATER}")
        since = max(self._started, self._speaker.last_success or 0.0)
        if error.kind == "rate limit" and time.monotonic() - since > _MOST_REFUSED_S:
            raise TrainError(f"{error} for {_MOST_REFUSED_S / 60:.0f} minutes; {_LATER}")
