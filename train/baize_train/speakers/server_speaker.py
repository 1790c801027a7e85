"""A model behind an OpenAI-compatible server: OpenAI, vLLM, llama-server, Ollama."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openai

from baize_train.corpus.dialogues import Turn
from baize_train.errors import TrainError
from baize_train.speakers.speaker import Reply, SpeakerFailed, Wish

_TIMEOUT_S = 120.0
_NOT_NOW = (408, 409, 425, 500, 502, 503, 504, 529)


class ServerSpeaker:
    """Asks a server; how often and when again is decided by who collects."""

    heeds_grammars = False

    def __init__(
        self, url: str, model: str, key: str, *, at_once: int = 8, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.model = model
        self.at_once = at_once
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key or "none", max_retries=0, timeout=timeout_s
        )
        self._url = url

    @property
    def name(self) -> str:
        return self.model

    async def say(self, messages: Sequence[Turn], wish: Wish) -> Reply:
        said: list[Any] = [{"role": turn.role, "content": turn.content} for turn in messages]
        extra: dict[str, Any] = {"stop": wish.stop} if wish.stop else {}
        if wish.seed is not None:
            extra["seed"] = wish.seed
        try:
            found = await self._client.chat.completions.create(
                model=self.model,
                messages=said,
                max_tokens=wish.max_tokens,
                temperature=wish.temperature,
                top_p=wish.top_p,
                **extra,
            )
        except openai.RateLimitError as error:
            after = error.response.headers.get("retry-after", "")
            raise SpeakerFailed(
                f"{self._url}: too many requests",
                again=True,
                busy=True,
                after=float(after) if after.replace(".", "", 1).isdigit() else None,
            ) from error
        except (openai.APITimeoutError, openai.APIConnectionError) as error:
            raise SpeakerFailed(f"{self._url} does not answer: {error}", again=True) from error
        except openai.APIStatusError as error:
            why = f"{self._url} answers {error.status_code}: {_line(error.message)}"
            raise SpeakerFailed(why, again=error.status_code in _NOT_NOW) from error
        except openai.APIError as error:
            raise SpeakerFailed(f"{self._url}: {_line(str(error))}", again=True) from error
        if not found.choices or found.choices[0].message.content is None:
            raise SpeakerFailed(f"{self._url}: an answer without a text", again=True)
        choice, text = found.choices[0], found.choices[0].message.content or ""
        usage = found.usage
        # A server may leave its counting out, or count what cannot be.
        least = max(len(text) // 16, 1)
        return Reply(
            text=text,
            whole=choice.finish_reason == "stop",
            prompt_tokens=max(usage.prompt_tokens if usage else 0, 0),
            completion_tokens=max(usage.completion_tokens if usage else 0, least),
        )

    async def close(self) -> None:
        await self._client.close()


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def server_named(spec: str, key: str) -> ServerSpeaker:
    """The speaker at ``server:URL#model``.

    Raises:
        TrainError: it names no model.
    """
    url, hash_sign, model = spec.removeprefix("server:").partition("#")
    if not url.startswith(("http://", "https://")) or not hash_sign or not model:
        raise TrainError(f"{spec}: write server:URL#model, as in server:http://localhost:8000/v1#m")
    return ServerSpeaker(url, model, key)
