"""Saving answers: from the first token to the last, also when the disk is full for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from baize_tui.chat.answer_in_progress import AnswerInProgress
from baize_tui.chat.store_thread import StoreThread
from baize_tui.store.errors import StoreError
from baize_tui.store.records import AnswerContent, FinalState, Message, Provenance


class AnswerSaver:
    """Writes the answers in progress to the store, and retries what could not be written."""

    def __init__(self, store_thread: StoreThread) -> None:
        self._thread = store_thread
        self._store = store_thread.store
        self._in_progress: dict[int, AnswerInProgress] = {}
        """Answers that are not saved with their final text, by message number."""
        self._unsaved: dict[int, Callable[[], None]] = {}
        self.why_unsaved = ""
        """Why the last answer that could not be written was not."""
        self._hash_tasks: set[asyncio.Task[None]] = set()

    @property
    def unsaved(self) -> int:
        """How many ended answers could not be written yet."""
        return len(self._unsaved)

    async def start(
        self, question: Message, partial: Message | None, tokenizer: str
    ) -> AnswerInProgress:
        """Add an answer to ``question``, or continue ``partial``; from now on it is journaled.

        Raises:
            StoreError: it cannot be added.
        """
        if partial is None:
            message = await self._thread.call(
                self._store.add_message,
                question.conversation_id,
                question.id,
                "assistant",
                "",
                state="streaming",
                ids=[],
                tokenizer=tokenizer,
            )
        else:
            await self._thread.call(self._store.answers.resume, partial.id)
            await self._thread.call(self._store.set_leaf, partial.conversation_id, partial.id)
            message = partial
        answer = AnswerInProgress(message, tokenizer, self._journal)
        self._in_progress[message.id] = answer
        return answer

    async def _journal(self, content: AnswerContent) -> None:
        await self._thread.call(self._store.answers.journal, content)

    async def finish(
        self, answer: AnswerInProgress, state: FinalState, made: Provenance | None = None
    ) -> Message:
        """Save ``answer`` as it is now; what cannot be written is tried again later."""
        answer.ended = True
        answer.journal.stop()
        content = answer.content

        def write() -> None:
            self._store.answers.finish(content, state, made)

        try:
            await asyncio.shield(self._thread.call(write))
        except StoreError as error:
            self.why_unsaved = answer.why_unsaved = str(error)
            self._unsaved[content.message_id] = write
        else:
            self._in_progress.pop(content.message_id, None)
        await answer.journal.close()
        return msgspec.structs.replace(
            answer.message,
            state=state,
            text=content.text,
            reasoning=content.reasoning,
            ids=content.ids,
            tokenizer=content.tokenizer,
            provenance=msgspec.to_builtins(made) if made is not None else None,
            made=made.shown if made is not None else None,
        )

    def add_model_hash_later(self, message_id: int, sha256: Future[str]) -> None:
        """Add the hash of the model file to the provenance, once ``sha256`` is computed."""

        async def add() -> None:
            with contextlib.suppress(OSError, StoreError):
                digest = await asyncio.wrap_future(sha256)
                await self._thread.call(self._store.answers.set_model_hash, message_id, digest)

        task = asyncio.create_task(add())
        self._hash_tasks.add(task)
        task.add_done_callback(self._hash_tasks.discard)

    async def save_pending(self) -> int:
        """Try again to write what could not be written; returns how many answers are left."""
        for message_id, write in list(self._unsaved.items()):
            try:
                await self._thread.call(write)
            except StoreError as error:
                self.why_unsaved = str(error)
                break
            del self._unsaved[message_id]
            self._in_progress.pop(message_id, None)
        return self.unsaved

    async def save_all(self) -> None:
        """Save the answers in progress as stopped, and everything that is left to write."""
        for answer in list(self._in_progress.values()):
            if not answer.ended:
                await self.finish(answer, "stopped")
        await self.save_pending()
        await self._thread.wait_for_earlier_calls()

    def rescue(self, limit_s: float) -> None:
        """Write the answers in progress from another thread, while the event loop hangs.

        What cannot be written within ``limit_s`` seconds stays as the journal has it.
        """
        self._thread.rescue(
            lambda: [answer.content for answer in list(self._in_progress.values())], limit_s
        )

    def cancel_hashes(self) -> None:
        """Wait no longer for hashes of model files."""
        for task in list(self._hash_tasks):
            task.cancel()
