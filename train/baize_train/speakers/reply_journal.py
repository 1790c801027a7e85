"""Replies on disk: a dialogue that was interrupted continues, and what was spent is known.

Each reply is written before the dialogue continues. The next run gets it from here instead of from
the server. When a run ends, replies to finished dialogues are dropped and only their cost is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_train.corpus.append_only_file import AppendOnlyFile
from baize_train.corpus.dialogues import Turn, record_key
from baize_train.errors import TrainError
from baize_train.speakers.speaker import NO_COST, Reply, RequestFailed, SamplingOptions, Speaker
from baize_train.speakers.usage import Usage


class JournalLine(Struct, frozen=True, omit_defaults=True):
    """A reply, or the cost of replies that are no longer needed."""

    key: str = msgspec.field(name="request")
    """Of the request; empty for a cost alone."""
    prompt_tokens: int
    completion_tokens: int
    owner: str = ""
    """The key of the dialogue that it belongs to."""
    text: str = ""
    complete: bool = True
    thoughts: str = ""

    def reply(self) -> Reply:
        return Reply(
            self.text, self.complete, self.prompt_tokens, self.completion_tokens, self.thoughts
        )


class ReplyJournal:
    """The replies of one collection."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``.

        Raises:
            TrainError: it cannot be written, or contains something else.
        """
        self._file = AppendOnlyFile(path, JournalLine)
        self._replies = {line.key: line for line in self._file.records if line.key}
        self.spent = Usage()
        """By this run and all earlier ones."""
        for line in self._file.records:
            self.spent.count(line.prompt_tokens, line.completion_tokens)
        self.is_new = not self._file.records

    def add_cost(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count tokens whose replies are elsewhere, or of which there is no reply."""
        self._file.add(JournalLine("", prompt_tokens, completion_tokens))
        self.spent.count(prompt_tokens, completion_tokens)

    def find(self, key: str) -> Reply | None:
        line = self._replies.get(key)
        return None if line is None else line.reply()

    def add(self, key: str, owner: str, reply: Reply) -> None:
        """Write a reply; it is on disk when this returns.

        Raises:
            TrainError: it cannot be written.
        """
        line = JournalLine(
            key,
            reply.prompt_tokens,
            reply.completion_tokens,
            owner,
            reply.text,
            reply.complete,
            reply.thoughts,
        )
        self._file.add(line)
        self._replies[key] = line
        self.spent.count(reply.prompt_tokens, reply.completion_tokens)

    def close(self, is_finished: Callable[[str], bool]) -> None:
        """Keep the replies of dialogues that are not finished, and the cost of all.

        Raises:
            TrainError: it cannot be written; the longer file stays.
        """
        kept = [line for line in self._replies.values() if not is_finished(line.owner)]
        rest = JournalLine(
            "",
            self.spent.prompt - sum(line.prompt_tokens for line in kept),
            self.spent.completion - sum(line.completion_tokens for line in kept),
        )
        lines = [rest, *kept] if self.spent.total else kept
        try:
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
            write_atomically(self._file.path, content)
        except OSError as error:
            raise TrainError(f"{self._file.path}: {error.strerror}") from error
        finally:
            self._file.close()


class JournaledSpeaker:
    """A speaker for one dialogue, whose replies are in the journal."""

    def __init__(self, speaker: Speaker, journal: ReplyJournal, owner: str) -> None:
        self.name = speaker.name
        self.max_concurrent = speaker.max_concurrent
        self.supports_grammars = speaker.supports_grammars
        self._speaker, self._journal, self._owner = speaker, journal, owner

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        """Reply to ``messages``; see ``Speaker``."""
        request: list[Any] = [self._owner, *messages]
        key = record_key(request, [self.name, options])
        known = self._journal.find(key)
        if known is not None:
            return known
        try:
            reply = await self._speaker.reply(messages, options)
        except RequestFailed as error:
            if error.cost != NO_COST:
                self._journal.add_cost(error.cost.prompt, error.cost.completion)
            raise
        self._journal.add(key, self._owner, reply)
        return reply

    async def close(self) -> None:
        await self._speaker.close()
