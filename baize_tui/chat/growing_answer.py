"""An answer while it streams: its text, its ids and its journal."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

from baize_tui.chat.journal import Journal
from baize_tui.chat.reasoning import split_reasoning
from baize_tui.engine import protocol
from baize_tui.store.conversations import Store
from baize_tui.store.records import Message


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
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.kept = False
        self.saved = True
        self._generated = ""
        self.reasoning, self.text = "", ""

        async def write() -> None:
            await run(
                store.journal,
                message.id,
                self.text,
                self.reasoning,
                list(self.ids),
                tokenizer,
            )

        self.journal = Journal(write)

    def add(self, event: protocol.Delta) -> None:
        self.ids.extend(event.ids)
        self._take(self._generated + event.text)
        self.journal.note()

    def replace(self, generated: str, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self._take(generated)

    def _take(self, generated: str) -> None:
        self._generated = generated
        self.reasoning, self.text = split_reasoning(generated)
