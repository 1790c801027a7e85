"""A model behind an OpenAI-compatible server: OpenAI, vLLM, llama-server, Ollama."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import openai
from msgspec import Meta, Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line, without_surrogates
from baize_shared.server_address import AddressError, parse_address
from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.speakers.speaker import Reply, SamplingOptions, SpeakerError
from baize_tui.engine.prompts.thought_splitter import split_text

_TIMEOUT_S = 120.0
_TEMPORARY_STATUSES = (408, 409, 425, 500, 502, 503, 504, 529)
_CHARACTERS_PER_TOKEN = 16
"""At most, for a lower bound where a server does not count."""


class _Message(Struct):
    content: str


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(Struct):
    """What is read of a completion; the library would check nothing of what a server sends."""

    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: _Usage | None = None


class ServerSpeaker:
    """Sends each request once; ``with_retries`` repeats it."""

    supports_grammars = False

    def __init__(
        self,
        url: str,
        model: str,
        key: str,
        *,
        max_concurrent: int = 8,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self.name = model
        self.max_concurrent = max_concurrent
        self._url = url
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key or "none", max_retries=0, timeout=timeout_s
        )

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        turns: list[Any] = [{"role": turn.role, "content": turn.content} for turn in messages]
        extra: dict[str, Any] = {"stop": options.stop} if options.stop else {}
        if options.seed is not None:
            extra["seed"] = options.seed
        try:
            response = await self._client.chat.completions.with_raw_response.create(
                model=self.name,
                messages=turns,
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                **extra,
            )
        except openai.APIError as error:
            raise self._speaker_error(error) from error
        try:
            answer = msgspec.convert(without_surrogates(json.loads(response.content)), _Answer)
        except JSON_ERRORS as error:
            raise SpeakerError(f"{self._url}: an answer without text", temporary=True) from error
        choice, usage = answer.choices[0], answer.usage or _Usage()
        # A server without a parser for reasoning sends the thought as a part of the answer.
        _, text = split_text(choice.message.content)
        # A server may omit its counts or send impossible ones.
        least = max(len(text) // _CHARACTERS_PER_TOKEN, 1)
        return Reply(
            text=text,
            complete=choice.finish_reason == "stop",
            prompt_tokens=max(usage.prompt_tokens or 0, 0),
            completion_tokens=max(usage.completion_tokens or 0, least),
        )

    def _speaker_error(self, error: openai.APIError) -> SpeakerError:
        if isinstance(error, openai.RateLimitError):
            after = error.response.headers.get("retry-after", "")
            return SpeakerError(
                f"{self._url}: too many requests",
                temporary=True,
                rate_limited=True,
                retry_after_s=float(after) if after.replace(".", "", 1).isdecimal() else None,
            )
        if isinstance(error, openai.APIConnectionError):  # a timeout is one of these
            return SpeakerError(f"{self._url} does not answer: {error}", temporary=True)
        if isinstance(error, openai.APIStatusError):
            return SpeakerError(
                f"{self._url} answers {error.status_code}: {clean_line(error.message)}",
                temporary=error.status_code in _TEMPORARY_STATUSES,
            )
        return SpeakerError(f"{self._url}: {clean_line(str(error))}", temporary=True)

    async def close(self) -> None:
        await self._client.close()


def open_server_speaker(address: str, key: str) -> ServerSpeaker:
    """The model at ``URL#model`` as a speaker.

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
    return ServerSpeaker(parsed.url, parsed.model, key)
