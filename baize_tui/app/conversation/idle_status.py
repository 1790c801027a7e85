"""The status line while nothing is in progress: model, speed, context, moderation, pulls."""

from __future__ import annotations

from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.status_line import ANSWERING, READING, threads_text
from baize_tui.catalog.recipes import CatalogError

MODERATED, NOT_MODERATED = "moderated", "not moderated"
EDITING = "editing · enter creates a branch · esc cancels"
TOO_LONG, DROPS_TURNS = "too long", "drops oldest turns"
NOT_LOADED, GONE = "(loads with the next question)", "is not on this machine"


class IdleStatus:
    """Shows the state of the client while nothing is in progress."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    @property
    def is_idle(self) -> bool:
        """Whether the status line has nothing else to show."""
        view = self._surface.view
        running = self._surface.chat.active_model.running
        return running is not None and not view.is_answering and view.editing is None

    def show_if_idle(self) -> None:
        if self.is_idle:
            self.show()

    def show_current(self) -> None:
        """Show the state, or the answer of the open conversation if one is in progress."""
        view = self._surface.view
        open_id = view.open_id
        if view.editing is not None or open_id is None or open_id not in view.live:
            self.show()
            return
        live = view.live[open_id]
        begun = live is not None and not live.reading
        self._surface.status.show(ANSWERING if begun else READING, "busy")

    def show(self) -> None:
        state, view, status = self._surface.state, self._surface.view, self._surface.status
        if view.editing is not None:
            status.show(EDITING, "busy")
            return
        parts: list[str] = []
        threads = ""
        running = state.chat.active_model.running
        if running is not None:
            adapters = view.conversation.adapters if view.conversation is not None else {}
            names = [name for name, scale in adapters.items() if scale]
            parts.append(" + ".join([self._answering_model(running.model.name), *names]))
            if view.last_stats is not None:
                parts.append(f"{view.last_stats.tokens_per_second:.0f} tokens/s")
                threads = threads_text(view.last_stats.threads, running.loaded.threads)
                parts.append(threads)
            parts.append(self._context_text(running.loaded.n_ctx))
        elif state.model is not None:
            parts.append(state.model.name)
        chosen = view.conversation if view.conversation is not None else state.settings.chat
        parts.append(MODERATED if chosen.moderation else NOT_MODERATED)
        parts.append(state.pulls.status_text)
        text = " · ".join(part for part in parts if part)
        if threads and not status.fits(text):
            text = " · ".join(part for part in parts if part and part != threads)
        status.show(text)

    def _answering_model(self, loaded: str) -> str:
        """The model that answers the next question, which need not be the ``loaded`` one."""
        active, conversation = self._surface.chat.active_model, self._surface.view.conversation
        if conversation is None or conversation.model is None or active.is_model_of(conversation):
            return loaded
        if active.one_model:
            return f"{loaded} instead of {conversation.model}"
        try:
            active.required_by(conversation)
        except CatalogError:
            return f"{conversation.model} {GONE}"
        return f"{conversation.model} {NOT_LOADED}"

    def _context_text(self, n_ctx: int) -> str:
        """How many tokens of the context are used, or would be with the draft."""
        options, view = self._surface.chat.options, self._surface.view
        if view.draft_tokens is None:
            return f"context {view.context_used}/{n_ctx}" if view.context_used else ""
        text = f"context {view.draft_tokens}/{n_ctx} with draft"
        if view.draft_tokens > n_ctx - options.reserve(n_ctx):
            stops = options.overflow(view.conversation) == "stop"
            text += f": {TOO_LONG if stops else DROPS_TURNS}"
        return text
