"""Making messages ones that search finds, in the background."""

from __future__ import annotations

import asyncio
import time

from baize_tui.app.conversation.surface import Surface
from baize_tui.store.errors import StoreError

INDEX_GROUP = "index"
"""The group of the worker that indexes."""
_BUSY_S = 1.0
"""How often to look whether an answer has ended."""


class Indexing:
    """Indexes what a file of an older version has, or another client has written.

    What is said from then on is indexed when somebody searches.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def start(self) -> None:
        self._surface.run_worker(self._index, group=INDEX_GROUP, exclusive=True)

    async def _index(self) -> None:
        chat = self._surface.chat
        while True:
            if chat.busy:  # the processor is the model's
                await asyncio.sleep(_BUSY_S)
                continue
            began = time.monotonic()
            try:
                left = await chat.search.index_more()
            except StoreError:
                return  # a full disk, or a read-only home; the next start may succeed
            if not left:
                return
            # Half of the time of the store's thread is for everything else.
            await asyncio.sleep(time.monotonic() - began)
