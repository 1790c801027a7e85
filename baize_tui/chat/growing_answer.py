"""An answer while it streams: its text, its ids and its journal."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

import msgspec

from baize_tui.chat.journal import Journal
from baize_tui.chat.reasoning import split_reasoning
from baize_tui.engine import protocol
from baize_tui.store.conversations import Store
from baize_tui.store.records import AnswerSoFar, Message


class GrowingAnswer:
    """What came so far; written down in the background by ``run``, which calls the store."""

    def __init__(
        self,
        message: Message,
        tokenizer: str,
        store: Store,
        run: Callable[..., Coroutine[None, None, None]],
    ) -> None:
        self.message = message
        self._tokenizer = tokenizer
        self.kept = False
        self.saved = True
        self._generated = ""
        self._ids: list[int] = []
        # Going on with an answer, all of it comes again first; until then it stays as it is.
        ids = message.ids or []
        self._came = (message.text, message.reasoning, ids, len(ids), message.tokenizer)

        async def write() -> None:
            await run(store.journal, *msgspec.structs.astuple(self.so_far))

        self.journal = Journal(write)

    @property
    def text(self) -> str:
        return self._came[0]

    @property
    def reasoning(self) -> str:
        return self._came[1]

    @property
    def so_far(self) -> AnswerSoFar:
        """What came so far; any thread may ask, also while more comes."""
        text, reasoning, ids, count, tokenizer = self._came
        return AnswerSoFar(self.message.id, text, reasoning, ids[:count], tokenizer)

    def add(self, event: protocol.Delta) -> None:
        self._ids.extend(event.ids)
        self._take(self._generated + event.text)
        self.journal.note()

    def replace(self, generated: str, ids: Sequence[int]) -> None:
        self._ids = list(ids)
        self._take(generated)

    def _take(self, generated: str) -> None:
        self._generated = generated
        reasoning, text = split_reasoning(generated)
        # In one piece, and the list only grows: see so_far.
        self._came = (text, reasoning, self._ids, len(self._ids), self._tokenizer)
