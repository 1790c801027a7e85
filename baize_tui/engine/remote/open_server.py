"""A server that is ready to answer, and what was learned about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import openai

from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import Generate, Prompt
from baize_tui.engine.remote.event_stream import EventStream
from baize_tui.engine.remote.request_body import Extent
from baize_tui.engine.remote.server_facts import ServerFacts
from baize_tui.engine.remote.server_faults import ServerFaults
from baize_tui.engine.remote.token_estimate import TokenEstimate
from baize_tui.translation import tr


class OpenServer:
    """A connection to one model of one server."""

    def __init__(
        self, client: openai.AsyncOpenAI, facts: ServerFacts, faults: ServerFaults
    ) -> None:
        self.facts = facts
        self.faults = faults
        self.estimate = TokenEstimate()
        self.extent: Extent = "all"
        """How much is sent; less after the server has refused more."""
        self._client = client
        self._told: set[str] = set()

    async def post(self, body: dict[str, Any]) -> EventStream:
        """Ask for an answer as a stream."""
        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=EventStream,
        )

    async def post_whole(self, body: dict[str, Any]) -> object:
        """Ask for an answer at once."""
        return await self._client.post("/chat/completions", cast_to=object, body=body)

    def most_tokens(self, request: Generate) -> int:
        """How many tokens thought and answer may have, beside the prompt.

        Raises:
            EngineFailure: ``too_long``, for a server that would cut the prompt and say nothing.
        """
        thinking = 0 if request.prompt.think is False else request.max_thinking_tokens
        wanted = request.max_tokens + thinking
        if not self.facts.n_ctx:
            return wanted
        tokens = self.estimate.tokens(request.prompt)
        free = self.facts.n_ctx - tokens
        if self.facts.kind == "ollama" and free < request.reserve:
            why = tr("the conversation is too long for {host}", host=self.facts.address.host)
            raise EngineFailure(why, "too_long", tokens, self.facts.n_ctx)
        return min(wanted, max(free, request.reserve))

    def learn_limit(self, failure: EngineFailure, prompt: Prompt) -> EngineFailure:
        """``failure``, a ``too_long``, with counts also where the server has said none."""
        # A prompt that does not fit has at least as many tokens as the context.
        tokens = failure.tokens or max(self.estimate.tokens(prompt), failure.n_ctx)
        self.estimate.learn(prompt, tokens)
        n_ctx = failure.n_ctx or min(filter(None, (self.facts.n_ctx, tokens)))
        if failure.n_ctx and failure.n_ctx != self.facts.n_ctx:
            self.facts = msgspec.structs.replace(self.facts, n_ctx=failure.n_ctx)
        return EngineFailure(str(failure), "too_long", tokens, n_ctx)

    def take_unsent(self, names: Sequence[str]) -> list[str]:
        """Those of ``names`` that the person was not told about yet."""
        new = [name for name in names if name not in self._told]
        self._told.update(new)
        return new

    async def close(self) -> None:
        await self._client.close()
