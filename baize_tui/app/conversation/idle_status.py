"""The status line while nothing is in progress: model, speed, context, moderation, pulls."""

from __future__ import annotations

import contextlib

from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.status_line import (
    READING,
    ClientStatus,
    threads_text,
)
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.active_model import RunningModel
from baize_tui.chat.context import DraftEffect
from baize_tui.measures import speed_text
from baize_tui.translation import msg, tr

MODERATED, NOT_MODERATED = msg("moderated"), msg("not moderated")
EDITING = msg("editing · enter creates a branch · esc cancels")
EDITING_SUMMARY = msg("editing the summary · enter saves it · esc cancels")
EFFECTS: dict[DraftEffect, str] = {
    "fits": "",
    "drops_turns": msg("drops oldest turns"),
    "summarizes_turns": msg("summarizes oldest turns"),
    "fails": msg("too long, sending will fail"),
}
CONTEXT, WITH_DRAFT = msg("context {used}"), msg("context {used} with draft")
DRAFT_EFFECT = msg("context {used} with draft: {effect}")
NO_MODEL, NOT_RUNNING = msg("no model"), msg("(not loaded)")
NOT_LOADED, GONE = msg("(loads with the next question)"), msg("is not on this machine")


class IdleStatus:
    """Shows the state of the client while nothing is in progress."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def update(self) -> None:
        """Show the state again if the status line shows it: something else stays."""
        self.show_place()
        if self._surface.status.kind == "idle":
            self.show()

    def show_current(self) -> None:
        """Show the state, or the answer of the open conversation if one is in progress."""
        self.show_place()
        view = self._surface.view
        open_id = view.open_id
        if view.editing is not None or open_id is None or open_id not in view.live:
            self.show()
            return
        live = view.live[open_id]
        if live is not None and not live.reading:
            text = live.status
        else:
            text = view.waiting.get(open_id, tr(READING))
        self._surface.status.show(text, "busy")

    def end_message(self) -> None:
        """The person goes on: end a note or a problem, unless the problem lasts."""
        if self._surface.status.kind in ("note", "problem"):
            self.show_current()

    def show_place(self) -> None:
        """Show whether the next words leave this computer, and where they go."""
        state, conversation = self._surface.state, self._surface.view.conversation
        model = None
        with contextlib.suppress(CatalogError):
            model = state.chat.active_model.answering_model(conversation)
        if model is None and conversation is None:
            model = state.model  # it is being loaded
        self._surface.status.show_place(model.words_go_to if model is not None else "")

    def show(self) -> None:
        self.show_place()
        view, status = self._surface.view, self._surface.status
        problem = next(iter(view.problems.values()), None)
        if view.editing is not None:
            status.show(tr(EDITING_SUMMARY) if view.edits_summary else tr(EDITING), "busy")
        elif problem is not None:
            status.show(problem, "problem")
        else:
            status.show_client(self._client_status())

    def _client_status(self) -> ClientStatus:
        state, view = self._surface.state, self._surface.view
        running = state.chat.active_model.running
        speed = threads = ""
        is_loaded = running is not None and state.chat.active_model.answers(view.conversation)
        if running is not None and view.last_stats is not None and is_loaded:
            speed = speed_text(view.last_stats.tokens_per_second)
            threads = threads_text(view.last_stats.threads, running.loaded.threads)
        chosen = view.conversation if view.conversation is not None else state.settings.chat
        model, model_state = self._model_texts(running)
        return ClientStatus(
            model=model,
            model_state=model_state,
            speed=speed,
            threads=threads,
            context=(
                self._context_texts(running.loaded.n_ctx)
                if running is not None and is_loaded
                else ()
            ),
            has_draft=view.context is not None and view.context.has_draft,
            moderation=tr(MODERATED) if chosen.moderation else tr(NOT_MODERATED),
            pulls=state.pulls.status_text,
        )

    def _model_texts(self, running: RunningModel | None) -> tuple[str, str]:
        """The model that answers the next question, with its adapters, and its state."""
        state, conversation = self._surface.state, self._surface.view.conversation
        if running is None and state.model is None:
            return tr(NO_MODEL) if state.load_ended.is_set() else "", ""
        if running is None:
            assert state.model is not None
            return _with_host(state.model), tr(NOT_RUNNING)
        adapters = conversation.adapters if conversation is not None else {}
        names = [name for name, scale in adapters.items() if scale]
        name, model_state = self._answering_model(_with_host(running.model))
        return " + ".join([name, *names]), model_state

    def _answering_model(self, loaded: str) -> tuple[str, str]:
        """The model that answers, which need not be the ``loaded`` one, and its state."""
        active, conversation = self._surface.chat.active_model, self._surface.view.conversation
        try:
            model = active.answering_model(conversation)
        except CatalogError:
            name = conversation.model if conversation is not None else None
            return name or "", tr(GONE)
        if model is not None and model != active.model:
            return _with_host(model), tr(NOT_LOADED)
        if conversation is None or conversation.model is None or active.is_model_of(conversation):
            return loaded, ""
        shown, own = active.names_apart(conversation)
        return shown, tr("instead of {model}", model=own)

    def _context_texts(self, n_ctx: int) -> tuple[str, ...]:
        """How many tokens of the context are used, or would be with the draft; long and short."""
        context = self._surface.view.context
        if context is None:
            return ()
        about = "≈" if context.is_estimate else ""
        used = f"{about}{context.tokens}/{n_ctx}" if n_ctx else f"{about}{context.tokens}"
        if not context.has_draft:
            return tr(CONTEXT, used=used), used
        if context.effect == "fits":
            return tr(WITH_DRAFT, used=used), tr(CONTEXT, used=used), used
        effect = tr(EFFECTS[context.effect])
        return tr(DRAFT_EFFECT, used=used, effect=effect), f"{used}: {effect}", effect


def _with_host(model: CatalogModel) -> str:
    """The name of ``model``, with the server on this computer that has it; another computer has a
    place of its own in the line."""
    address = model.recipe.address
    if address is None or model.words_go_to:
        return model.name
    return tr("{model} at {host}", model=model.name, host=address.host)
