"""A model that answers batches: requests go to files, and answers come back in files.

OpenAI's batch API and vLLM's ``run-batch`` take and give the same lines. A dialogue goes as far as
there are answers, and its next request is written for the next batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_shared.sanitizer import clean_line
from baize_train.corpus.dialogues import Turn, record_key
from baize_train.errors import TrainError, warn
from baize_train.speakers.server_response import read_completion
from baize_train.speakers.speaker import RateLimits, Reply, SamplingOptions, SpeakerError

_PREFIX = "requests-"
_MOST_IN_A_FILE = 50_000
"""OpenAI takes no more."""
_AT_ONCE = 1000
_ASKED_AGAIN = (408, 429, 500, 502, 503, 504)


class _Response(Struct):
    status_code: int = 200
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _Answer(Struct):
    """A line of a file of answers."""

    custom_id: str
    response: _Response | None = None
    error: Any = None


class BatchBackend:
    """Looks answers up in a folder, and writes what is not answered yet to files in it."""

    supports_grammars = False
    max_concurrent = _AT_ONCE
    rate_limits: RateLimits | None = None

    def __init__(
        self, folder: Path, model: str, extra: dict[str, Any], thought_tokens: int = 0
    ) -> None:
        """Read all answers in ``folder``.

        Raises:
            TrainError: a file is something else.
        """
        self.name, self.place = model, str(folder)
        self._folder, self._extra, self._thought_tokens = folder, extra, thought_tokens
        self._answers: dict[str, _Answer] = {}
        self._waiting: dict[str, dict[str, Any]] = {}
        for file in sorted(folder.glob("*.jsonl")):
            if not file.name.startswith(_PREFIX):
                self._read(file)

    def _read(self, file: Path) -> None:
        decode = msgspec.json.Decoder(_Answer).decode
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError as error:
            raise TrainError(f"{file}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                answer = decode(line)
            except JSON_ERRORS as error:
                raise TrainError(f"{file}:{number}: not an answer of a batch: {error}") from error
            status = answer.response.status_code if answer.response is not None else 500
            if status not in _ASKED_AGAIN:
                self._answers[answer.custom_id] = answer

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        max_tokens = options.max_tokens + self._thought_tokens
        body = self._body(messages, options, max_tokens)
        key = record_key(body, "batch")
        answer = self._answers.get(key)
        if answer is None or answer.response is None:
            self._waiting[key] = body
            raise SpeakerError("they wait for answers of a batch", "later")
        raw = bytes(answer.response.body)
        if answer.response.status_code != 200:
            why = clean_line(raw.decode("utf-8", "replace"), 200)
            raise SpeakerError(f"refused ({answer.response.status_code}): {why}", "request")
        try:
            prompt_bytes = sum(len(turn.content.encode()) for turn in messages)
            return read_completion(raw, self.place, prompt_bytes, max_tokens)
        except SpeakerError as error:  # the same answer would come again
            raise SpeakerError(str(error), "request", cost=error.cost) from error

    def _body(
        self, messages: Sequence[Turn], options: SamplingOptions, max_tokens: int
    ) -> dict[str, Any]:
        values: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
            "max_completion_tokens": max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "stop": options.stop or None,
            **self._extra,
        }
        return {name: value for name, value in values.items() if value is not None}

    async def close(self) -> None:
        """Write the requests that wait.

        Raises:
            TrainError: they cannot be written.
        """
        lines = [
            msgspec.json.encode(
                {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            )
            for key, body in self._waiting.items()
        ]
        try:
            private_folder(self._folder)
            for file in self._folder.glob(f"{_PREFIX}*.jsonl"):
                file.unlink()
            for number, start in enumerate(range(0, len(lines), _MOST_IN_A_FILE), 1):
                part = lines[start : start + _MOST_IN_A_FILE]
                content = b"".join(line + b"\n" for line in part)
                write_atomically(self._folder / f"{_PREFIX}{number}.jsonl", content)
        except OSError as error:
            raise TrainError(f"{error.filename or self._folder}: {error.strerror}") from error
        if lines:
            warn(
                f"{len(lines)} requests are in {self._folder}/{_PREFIX}*.jsonl: let a batch answer "
                "them, put its file of answers into that folder, and run the same command"
            )
