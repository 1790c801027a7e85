"""Loading models: the first one at the start, and those that the person chooses."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from baize_shared.progress import TimeLeft, progress_text
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.status_line import LOADING, LOADING_MODEL
from baize_tui.catalog.recipes import CatalogError, CatalogModel, NoModelInstalled
from baize_tui.engine.client import EngineFailure
from baize_tui.measures import left_text
from baize_tui.store.errors import StoreError
from baize_tui.translation import msg, tr

NO_MODEL = msg("no model")
NO_MODEL_YET = msg("There is no model yet.")
FAILURE_TITLE = msg("Model")


class ModelLoading:
    """Loads models and shows the progress in the status line."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        draft_cost: DraftCost,
        conversation_view: ConversationView,
    ) -> None:
        self._surface = surface
        self._idle_status = idle_status
        self._draft_cost = draft_cost
        self._conversation_view = conversation_view

    async def load_first(self, name: str | None, session: str | None) -> None:
        """Load the model that answers next: that of the conversation ``session`` if it is on this
        machine, else model ``name``, which is the first that is installed if it is None."""
        state = self._surface.state
        try:
            self._find_first(name)
            self._conversation_view.show_welcome()
            self._conversation_view.show_disclaimer()
            own = await self._own_model(session)
            if own is not None and own != state.model:
                if state.model is not None:
                    state.chat.active_model.choose_for_new_conversations(state.model)
                await self._load(own, state.chat.load_model)
            elif state.model is not None:
                await self.load(state.model)
        finally:
            state.load_ended.set()

    def _find_first(self, name: str | None) -> None:
        """Find the model of new conversations, or say why there is none."""
        state = self._surface.state
        try:
            is_default = name == state.settings.model.default
            find = state.chat.catalog.find_model
            state.model = state.chat.default_model() if is_default else find(name)
        except CatalogError as error:
            is_first_run = isinstance(error, NoModelInstalled)
            state.problem = tr(NO_MODEL_YET) if is_first_run else str(error)
            self._surface.status.show(tr(NO_MODEL), "problem")

    async def _own_model(self, session: str | None) -> CatalogModel | None:
        """The model that the conversation ``session`` needs, if it is on this machine."""
        if session is None:
            return None
        chat = self._surface.chat
        with contextlib.suppress(CatalogError, StoreError):
            conversation = await chat.conversations.get(session)
            return chat.active_model.required_by(conversation)
        return None

    async def load(self, model: CatalogModel) -> None:
        """Load ``model`` in place of the present one; if that fails, none is loaded."""
        self._surface.state.model, self._surface.state.problem = model, ""
        self._conversation_view.show_welcome()
        await self._load(model, self._surface.chat.use_model)

    async def _load(
        self,
        model: CatalogModel,
        load: Callable[[CatalogModel, Callable[[float], None]], Awaitable[object]],
    ) -> None:
        surface = self._surface
        left, loading = TimeLeft(), tr(LOADING_MODEL, model=model.name)

        def show_progress(done: float) -> None:
            text = progress_text(loading, done, left=left_text(left, done))
            surface.status.show(text, "busy", short=f"{tr(LOADING)} {done:.0%}")

        show_progress(0.0)
        self._idle_status.show_place()
        try:
            await load(model, show_progress)
        except EngineFailure as error:
            surface.status.show(str(error), "problem")
            surface.screen.notify(
                str(error), title=tr(FAILURE_TITLE), severity="error", timeout=30, markup=False
            )
            return
        surface.state.model = surface.chat.active_model.model  # a server may have named it
        self._conversation_view.show_welcome()
        self.show_loaded()

    def show_loaded(self) -> None:
        """Another model may be loaded now."""
        self._conversation_view.show_disclaimer()
        if not self._surface.view.live:
            self._idle_status.show()
        self._draft_cost.count_soon()

    async def use(self, name: str) -> None:
        """Load model ``name``, for the open conversation from now on."""
        view = self._surface.view
        try:
            model = self._surface.chat.catalog.find_model(name)
        except CatalogError as error:
            self._surface.status.show(str(error), "problem")
            return
        self._surface.chat.active_model.one_model = False
        if view.conversation is not None:
            changed = self._surface.chat.active_model.assign_to(view.conversation, model)
            await self._conversation_view.change_options(changed)
        await self.load(model)
        named = self._surface.chat.active_model.model
        conversation = view.conversation
        if conversation is None or named is None or conversation.model_path != model.location:
            return
        if named.location != model.location:  # the server has said which model it has
            changed = self._surface.chat.active_model.assign_to(conversation, named)
            await self._conversation_view.change_options(changed)

    async def choose(self) -> str | None:
        """Ask for a model; None if the person closes the screen."""
        from baize_tui.app.screens.models import ModelsScreen

        active, model = self._surface.chat.active_model, None
        with contextlib.suppress(CatalogError):
            model = active.answering_model(self._surface.view.conversation)
        current = model.name if model is not None else None
        screen = ModelsScreen(self._surface.state, current)
        chosen = await self._surface.screen.app.push_screen_wait(screen)
        self._conversation_view.show_welcome()  # another model may be the default now
        self._conversation_view.show_disclaimer()
        self._idle_status.update()
        return chosen
