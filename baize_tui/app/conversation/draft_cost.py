"""How many tokens the context has with the draft, counted when the person stops typing.

Then the conversation is read ahead, so that the answer begins at once.
"""

from __future__ import annotations

import contextlib

from textual.timer import Timer

from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.slash_commands import command_in
from baize_tui.app.conversation.surface import Surface
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.engine.client import EngineFailure
from baize_tui.store.errors import StoreError

COUNT_AFTER_S = 0.3
"""A draft is counted when nothing was typed for this long."""
COUNT_GROUP = "count"
"""The group of the worker that counts."""


class DraftCost:
    """Counts the draft, and shows the count in the status line."""

    def __init__(self, surface: Surface, idle_status: IdleStatus) -> None:
        self._surface = surface
        self._idle_status = idle_status
        self._timer: Timer | None = None
        self._problem: tuple[str, str] | None = None
        """The last problem in the status line, and the draft beside it."""

    def draft_changed(self) -> None:
        if not self._surface.prompt.draft:
            self._set_tokens(None)  # no need to count
        self.count_soon()

    def count_soon(self) -> None:
        """Count after ``COUNT_AFTER_S``, unless this is called again before."""
        self.stop()
        self._timer = self._surface.screen.set_timer(COUNT_AFTER_S, self._start_count)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def _start_count(self) -> None:
        self._surface.run_worker(self._count, group=COUNT_GROUP, exclusive=True)

    async def _count(self) -> None:
        view, draft = self._surface.view, self._surface.prompt.draft
        chat, conversation, tokens = self._surface.chat, view.conversation, None
        leaf = conversation.leaf_id if conversation is not None else None
        if view.editing is not None:
            leaf = view.editing.parent_id
        is_command = command_in(draft, self._surface.state.actions) is not None
        # If it cannot be counted, sending it will say why.
        with contextlib.suppress(EngineFailure, NoModelLoaded, StoreError):
            if draft and not is_command:
                tokens = await chat.count_prompt_tokens(conversation, leaf, draft)
        if draft == self._surface.prompt.draft:
            self._set_tokens(tokens)
            with contextlib.suppress(StoreError):
                await chat.prepare(conversation, leaf, "" if is_command else draft)

    def _set_tokens(self, tokens: int | None) -> None:
        view = self._surface.view
        before, view.draft_tokens = view.draft_tokens, tokens
        if tokens != before and not self._keeps_problem():
            self._idle_status.show_if_idle()

    def _keeps_problem(self) -> bool:
        """Whether the status line has a problem that the person has not answered by typing.

        A count that began before the problem appeared is of the same draft, and must not hide it.
        """
        status, draft = self._surface.status, self._surface.prompt.draft
        if status.kind != "problem":
            return False
        if self._problem is None or self._problem[0] != status.text:
            self._problem = status.text, draft
        return self._problem[1] == draft
