"""How full the context is, with the draft: counted when the person stops typing, and after every
change of the conversation.

Then the conversation is read ahead, so that the answer begins at once.
"""

from __future__ import annotations

import contextlib

from textual.timer import Timer

from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.slash_commands import command_in
from baize_tui.app.conversation.surface import Surface
from baize_tui.chat.context import ContextUse
from baize_tui.chat.formats import UnknownFormat
from baize_tui.engine.client import EngineFailure
from baize_tui.store.errors import StoreError

COUNT_AFTER_S = 0.3
"""A draft is counted when nothing was typed for this long."""
COUNT_GROUP = "count"
"""The group of the worker that counts."""

_Place = tuple[str | None, int | None]


class DraftCost:
    """Counts the conversation with the draft, and shows the count in the status line."""

    def __init__(self, surface: Surface, idle_status: IdleStatus) -> None:
        self._surface = surface
        self._idle_status = idle_status
        self._timer: Timer | None = None
        self._without_draft: dict[_Place, ContextUse | None] = {}
        """The last count without a draft, and where that was."""

    def draft_changed(self) -> None:
        context = self._surface.view.context
        if not self._surface.prompt.draft and context is not None and context.has_draft:
            self._show(self._without_draft.get(self._place))
        self.count_soon()

    def count_soon(self) -> None:
        """Count after ``COUNT_AFTER_S``, unless this is called again before."""
        self.stop()
        self._timer = self._surface.screen.set_timer(COUNT_AFTER_S, self.count_now)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    @property
    def is_pending(self) -> bool:
        """Whether it is counted soon."""
        return self._timer is not None

    def count_now(self) -> None:
        self.stop()
        self._surface.run_worker(self._count, group=COUNT_GROUP, exclusive=True)

    @property
    def _place(self) -> _Place:
        """The conversation, and the message after which the draft comes."""
        view = self._surface.view
        if view.conversation is None:
            return None, None
        editing = view.editing
        replaces = editing is not None and not view.edits_summary
        leaf = editing.parent_id if editing and replaces else view.conversation.leaf_id
        return view.conversation.id, leaf

    async def _count(self) -> None:
        chat, view, place = self._surface.chat, self._surface.view, self._place
        typed = self._surface.prompt.draft
        is_command = command_in(typed, self._surface.state.actions) is not None
        draft = "" if is_command or view.edits_summary else typed
        if chat.engine_in_use:  # it is counted when that ends
            if view.context is not None and view.context.has_draft:
                self._show(self._without_draft.get(place))
            return
        context = None
        # If it cannot be counted, sending it will say why.
        with contextlib.suppress(EngineFailure, StoreError, UnknownFormat):
            context = await chat.count_context(view.conversation, place[1], draft)
        if (place, typed) != (self._place, self._surface.prompt.draft):
            return  # it is counted again
        if not draft:
            self._without_draft = {place: context}
        self._show(context)
        with contextlib.suppress(StoreError):
            await chat.prepare(view.conversation, place[1], draft)

    def _show(self, context: ContextUse | None) -> None:
        view = self._surface.view
        if context != view.context:
            view.context = context
            self._idle_status.update()
