"""A model behind an OpenAI-compatible server: OpenAI, vLLM, llama-server, Ollama and others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai
from msgspec import Struct

from baize_shared.server_address import AddressError, ServerAddress, parse_address
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError, warn
from baize_train.speakers.rate_limits import read_rate_limits
from baize_train.speakers.refusals import Refusal, read_refusal
from baize_train.speakers.server_failures import SERVER_ERRORS, explain_failure
from baize_train.speakers.server_response import read_completion
from baize_train.speakers.speaker import RateLimits, Reply, SamplingOptions
from baize_tui.engine.remote.http_client import open_client
from baize_tui.engine.remote.server_faults import ServerFaults

_OLD_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_OPTIONAL = ("temperature", "top_p", "seed", "stop")
"""Left out where a server refuses them, as reasoning models do."""
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unknown|unrecognized|unexpected|extra (inputs|fields)|not permitted"
    r"|not allowed|only the default|not available",
    re.I,
)


class ServerOptions(Struct, frozen=True):
    """How a server is asked."""

    thought_tokens: int = 0
    """For the thoughts of a reasoning model, on top of those for the answer."""
    extra: dict[str, Any] = {}
    """Parameters of the request that replace ours; None leaves one out."""
    timeout_s: float = 600.0
    max_concurrent: int = 8


class ServerSpeaker:
    """Sends each request once; ``SteadySpeaker`` repeats it."""

    supports_grammars = False

    def __init__(
        self, address: ServerAddress, key: str, options: ServerOptions, how_to_give_key: str = ""
    ) -> None:
        self.name = address.model
        self.place = address.host
        self.max_concurrent = options.max_concurrent
        self.rate_limits: RateLimits | None = None
        self._options = options
        self._faults = ServerFaults(address, key, how_to_give_key, options.timeout_s)
        self._client = open_client(address, key, options.timeout_s)
        is_openai = address.host == "api.openai.com"
        self._limit_name = _NEW_LIMIT if is_openai else _OLD_LIMIT
        self._refused: set[str] = set()
        """Parameters that the server does not take."""

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        max_tokens = options.max_tokens + self._options.thought_tokens
        while True:
            parameters = self._parameters(options, max_tokens)
            try:
                response = await self._client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body={"model": self.name, "messages": turns, **parameters},
                )
                body = await response.aread()
            except openai.APIStatusError as error:
                if self._adapt(read_refusal(error.body), parameters):
                    continue
                raise explain_failure(error, self._faults) from error
            except SERVER_ERRORS as error:
                raise explain_failure(error, self._faults) from error
            self.rate_limits = read_rate_limits(response.headers)
            prompt_bytes = sum(len(turn.content.encode()) for turn in messages)
            return read_completion(body, self.place, prompt_bytes, max_tokens)

    def _parameters(self, options: SamplingOptions, max_tokens: int) -> dict[str, Any]:
        values: dict[str, Any] = {
            self._limit_name: max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "stop": options.stop or None,
        }
        values = {name: value for name, value in values.items() if name not in self._refused}
        values |= self._options.extra
        return {name: value for name, value in values.items() if value is not None}

    def _adapt(self, refusal: Refusal, parameters: Mapping[str, Any]) -> bool:
        """Leave out or rename the parameter that a server refuses; whether there is one."""
        if not _UNSUPPORTED.search(refusal.text):
            return False
        name = self._refused_parameter(refusal, parameters)
        if name is None:
            return False
        if name in self._refused:  # by another request, while this one was on its way
            return True
        self._refused.add(name)
        if name in (_OLD_LIMIT, _NEW_LIMIT):
            self._limit_name = _NEW_LIMIT if name == _OLD_LIMIT else _OLD_LIMIT
        else:
            warn(f"{self.place} does not take {name} for {self.name}: it is left out")
        return True

    def _refused_parameter(self, refusal: Refusal, parameters: Mapping[str, Any]) -> str | None:
        ours = [
            name
            for name in (_OLD_LIMIT, _NEW_LIMIT, *_OPTIONAL)
            if name in parameters and name not in self._options.extra
        ]
        if refusal.parameter in ours:
            return refusal.parameter
        mentioned = [name for name in ours if re.search(rf"\b{name}\b", refusal.reason)]
        return mentioned[0] if mentioned else None

    async def close(self) -> None:
        await self._client.close()


def parse_server(address: str) -> ServerAddress:
    """The server and the model in ``URL#model``.

    Raises:
        TrainError: ``address`` has another form.
    """
    try:
        parsed = parse_address(address)
    except AddressError as error:
        raise TrainError(str(error)) from error
    if not parsed.model:
        raise TrainError(
            f"server:{address}: write server:URL#model, as in server:http://localhost:8000/v1#m"
        )
    return parsed
