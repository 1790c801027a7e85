"""A model that answers batches: requests go to files, and answers come back in files.

OpenAI's batch API and vLLM's ``run-batch`` take and give the same lines. A dialogue goes as far as
there are answers, and its next request is written for the next batch.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator, Sequence
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
from baize_train.speakers.refusals import Refusal, kind_of_refusal, read_refusal
from baize_train.speakers.server_response import read_completion
from baize_train.speakers.speaker import (
    NO_COST,
    ErrorKind,
    RateLimits,
    Reply,
    SamplingOptions,
    SpeakerError,
)

_PREFIX = "requests-"
_MOST_IN_A_FILE, _MOST_BYTES = 50_000, 190_000_000
"""OpenAI takes no more, and refuses 200 MB."""
_AT_ONCE = 1000
_MOST_REASONS = 3
_ASKED_AGAIN: tuple[ErrorKind, ...] = ("temporary", "rate limit", "fatal")
"""Refusals that have nothing to do with the request: a limit, no money, a wrong key."""


class _Response(Struct):
    status_code: int = 200
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _Answer(Struct):
    """A line of a file of answers."""

    custom_id: str
    response: _Response | None = None
    error: Any = None

    @property
    def is_answer(self) -> bool:
        response = self.response
        return (
            response is not None
            and response.status_code == 200
            and b'"choices"' in bytes(response.body)  # or an error that is called a success
        )


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
        self._unanswered: Counter[str] = Counter()
        """Requests that are asked again, by the reason."""
        for file in sorted(folder.glob("*.jsonl")):
            if not file.name.startswith(_PREFIX):
                self._read(file)

    def _read(self, file: Path) -> None:
        decode = msgspec.json.Decoder(_Answer).decode
        try:
            lines = file.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
        except OSError as error:
            raise TrainError(f"{file}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                answer = decode(line)
            except JSON_ERRORS as error:
                raise TrainError(f"{file}:{number}: not an answer of a batch: {error}") from error
            earlier = self._answers.get(answer.custom_id)
            # A request that was refused may be answered by another batch, whatever its file is
            # called.
            if earlier is None or answer.is_answer or not earlier.is_answer:
                self._answers[answer.custom_id] = answer

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        max_tokens = options.max_tokens + self._thought_tokens
        body = self._body(messages, options, max_tokens)
        key = record_key(body, "batch")
        answer = self._answers.get(key)
        try:
            if answer is None:
                raise SpeakerError("they wait for answers of a batch", "later")
            prompt_bytes = sum(len(turn.content.encode()) for turn in messages)
            return self._read_reply(answer, prompt_bytes, max_tokens)
        except SpeakerError as error:
            if error.kind in _ASKED_AGAIN and error.cost == NO_COST:
                self._waiting[key] = body
                self._unanswered[str(error)] += 1
                raise SpeakerError(f"{error}; they are asked again", "later") from error
            if error.kind == "later":
                self._waiting[key] = body
            elif error.kind == "temporary" or (error.kind == "unclear" and self._any_answers):
                # The same answer would come again; others show that all is well with the options.
                raise SpeakerError(str(error), "request", cost=error.cost) from error
            raise

    @property
    def _any_answers(self) -> bool:
        return any(answer.is_answer for answer in self._answers.values())

    def _read_reply(self, answer: _Answer, prompt_bytes: int, max_tokens: int) -> Reply:
        """The reply in ``answer``.

        Raises:
            SpeakerError: it has none.
        """
        if answer.response is None:  # it expired, for example
            why = read_refusal({"error": answer.error}).text.strip() or "without a reason"
            raise SpeakerError(f"a batch did not answer: {why}", "temporary")
        raw, status = bytes(answer.response.body), answer.response.status_code
        if status == 200:
            return read_completion(raw, self.place, prompt_bytes, max_tokens)
        try:
            refusal = read_refusal(msgspec.json.decode(raw))
        except JSON_ERRORS:
            refusal = Refusal()
        why = refusal.reason or clean_line(raw.decode("utf-8", "replace"), 200)
        raise SpeakerError(f"refused ({status}): {why}", kind_of_refusal(status, refusal))

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
            + b"\n"
            for key, body in self._waiting.items()
        ]
        try:
            private_folder(self._folder)
            for file in self._folder.glob(f"{_PREFIX}*.jsonl"):
                file.unlink()
            for number, part in enumerate(_files(lines), 1):
                write_atomically(self._folder / f"{_PREFIX}{number}.jsonl", b"".join(part))
        except OSError as error:
            raise TrainError(f"{error.filename or self._folder}: {error.strerror}") from error
        for why, count in self._unanswered.most_common(_MOST_REASONS):
            warn(f"{count} requests are written again: {why}")
        if lines:
            warn(
                f"{len(lines)} requests are in {self._folder}/{_PREFIX}*.jsonl: let a batch answer "
                "them, put its file of answers into that folder, and run the same command"
            )


def _files(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """``lines`` in parts that a batch takes."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and (len(part) == _MOST_IN_A_FILE or size + len(line) > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part
