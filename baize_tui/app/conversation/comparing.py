"""Comparing the answers of several models or adapters to one question."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from textual.worker import WorkerCancelled, WorkerError

from baize_tui.app.conversation.asking import Asking
from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.surface import Surface
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.answer_options import Answerer, AnswerOptions
from baize_tui.chat.events import ChatEvent
from baize_tui.paths import Paths
from baize_tui.store.draft_parts import as_written
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

QUESTION = msg("Question for both")
COMPARE_WITH = msg("Compare {model} with")
NOTHING_TO_COMPARE = msg("no other model or adapter is installed to compare with")


class Comparing:
    """Asks for the models to compare and for a question, then shows the answers side by side."""

    def __init__(
        self,
        surface: Surface,
        conversation_view: ConversationView,
        asking: Asking,
        composer: Composer,
        on_answered: Callable[[], None],
    ) -> None:
        """``on_answered`` is called after each answer; another model may be loaded by then."""
        self._surface = surface
        self._conversation_view = conversation_view
        self._asking = asking
        self._composer = composer
        self._on_answered = on_answered

    async def compare(self) -> None:
        from baize_tui.app.screens.dialogs import LineDialog
        from baize_tui.app.screens.picker import Choice, Picker

        if not self._asking.can_start():
            return
        own = self._own_answerer(self._conversation_view.present())
        if own is None:
            return
        try:
            groups = groups_to_compare(own, self._surface.state.paths)
        except CatalogError as error:
            self._surface.status.show(str(error), "problem")
            return
        if not groups:
            self._surface.status.show(tr(NOTHING_TO_COMPARE), "problem")
            return
        app = self._surface.screen.app
        choices = [Choice(group, text) for text, group in groups.items()]
        answerers = await app.push_screen_wait(Picker(tr(COMPARE_WITH, model=own.label), choices))
        if answerers is None:
            return
        if self._surface.prompt.draft:
            await self._ask_draft(answerers)
        elif question := await app.push_screen_wait(LineDialog(tr(QUESTION))):
            conversation = await self._conversation_view.begin()
            form = as_written(self._surface.prompt.parts).form
            ask = partial(self._surface.chat.ask, conversation.id, question, form=form)
            await self._show(conversation, question, ask, answerers)

    async def _ask_draft(self, answerers: tuple[Answerer, ...]) -> None:
        """Ask what is in the prompt, and show it there again if it was not saved."""
        # Now, not when the answers end: what is typed by then is another draft.
        outgoing = self._composer.take(self._surface.prompt.give_away())
        was_saved = False
        try:
            await self._surface.chat.drafts.save(outgoing.as_unsent())
            conversation = await self._conversation_view.begin()
            written = outgoing.written
            ask = partial(
                self._surface.chat.ask,
                conversation.id,
                written.text,
                typed=outgoing.typed,
                unsent=outgoing.id,
                attachments=written.attachments,
                form=written.form,
            )
            was_saved = await self._show(conversation, written.text, ask, answerers)
        finally:
            if not was_saved:
                self._composer.put_back(outgoing)

    async def _show(
        self,
        conversation: Conversation,
        question: str,
        ask: Callable[[AnswerOptions], AsyncGenerator[ChatEvent, None]],
        answerers: tuple[Answerer, ...],
    ) -> bool:
        """Show the answers to ``question``, which ``ask`` asks; returns whether it was saved."""
        from baize_tui.app.screens.side_by_side import SideBySide

        surface = self._surface
        screen = SideBySide(
            surface.chat, conversation.id, question, ask, answerers, self._on_answered
        )
        await surface.screen.app.push_screen_wait(screen)
        workers = surface.screen.workers
        group = f"turn {conversation.id}"
        turns = [worker for worker in workers if worker.group == group]
        with contextlib.suppress(WorkerCancelled, WorkerError):
            await workers.wait_for_complete(turns)
        if conversation.id == surface.view.open_id:
            await self._conversation_view.reload()
        return screen.question_saved

    def _own_answerer(self, conversation: Conversation) -> Answerer | None:
        """The model and adapters of the conversation; None if no model is loaded."""
        model = self._surface.chat.active_model.model
        name = conversation.model or (model.name if model is not None else None)
        if name is None:
            return None
        used = {adapter: scale for adapter, scale in conversation.adapters.items() if scale}
        return Answerer(name, used)


def groups_to_compare(own: Answerer, paths: Paths) -> dict[str, tuple[Answerer, ...]]:
    """The groups that can answer side by side, by the text to choose them by.

    Each other answerer makes a pair with ``own``. Where adapters were trained one over the other,
    all steps of this training make the first group.

    Raises:
        CatalogError: a recipe is not valid.
    """
    others = [other for other in _installed_answerers(own.model, paths) if other != own]
    groups: dict[str, tuple[Answerer, ...]] = {other.label: (own, other) for other in others}
    if steps := _training_steps([*others, own], own.model):
        names = ", ".join(step.label for step in steps)
        groups = {tr("every training step: {names}", names=names): steps, **groups}
    return groups


def _installed_answerers(model: str, paths: Paths) -> list[Answerer]:
    """``model`` with each of its adapters, ``model`` alone, and every other installed model."""
    from baize_tui.catalog.adapters import known_adapters, with_underlying
    from baize_tui.catalog.finding import known_models

    adapters = [with_underlying(a, paths) for a in known_adapters(paths, model) if a.installed]
    models = [m.name for m in known_models(paths) if m.can_answer]
    return [
        *(Answerer(model, adapter) for adapter in adapters),
        *(Answerer(name) for name in dict.fromkeys([model, *models])),
    ]


def _training_steps(answerers: Sequence[Answerer], model: str) -> tuple[Answerer, ...]:
    """The model alone, with a first adapter, with a second over it, and so on; empty where no
    adapter was trained over another."""
    own = [answerer for answerer in answerers if answerer.model == model]
    longest = max(own, key=lambda answerer: len(answerer.adapters), default=None)
    if longest is None or len(longest.adapters) < 2:
        return ()
    names = list(longest.adapters)
    steps = (dict.fromkeys(names[:count], 1.0) for count in range(len(names) + 1))
    return tuple(Answerer(model, step) for step in steps)
