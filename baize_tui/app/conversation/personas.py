"""Choosing a persona for the open conversation, and a prompt for the next message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import UndoStack
from baize_tui.catalog.recipes import CatalogError
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.catalog.personas import Persona
    from baize_tui.catalog.prompt_snippets import Snippet

PERSONA_QUESTION, PROMPT_QUESTION = msg("Persona of this conversation"), msg("Prompts")
NOBODY, NOBODY_HELP = msg("none"), msg("The settings of a new conversation")
CHOSEN, REMOVED = (
    msg("{name}: its settings are this conversation's now · {key} undoes it"),
    msg("no persona any more · {key} undoes it"),
)
NO_PROMPTS = msg("there are no prompts in {folder}")


class Personas:
    """Reads the files when they are asked for: they may have changed."""

    def __init__(
        self, surface: Surface, conversation_view: ConversationView, undo_stack: UndoStack
    ) -> None:
        self._surface = surface
        self._conversation_view = conversation_view
        self._undo_stack = undo_stack

    def _report(self, problems: dict[str, str]) -> None:
        for problem in problems.values():
            self._surface.screen.notify(problem, severity="warning", markup=False)

    # --- personas -------------------------------------------------------------------------------

    async def choose_persona(self, name: str) -> None:
        """Give the open conversation the persona ``name``; without one, ask which."""
        from baize_tui.app.screens.described_picker import DescribedPicker
        from baize_tui.app.screens.picker import Choice
        from baize_tui.catalog.personas import NO_SUCH_PERSONA, known_personas

        paths = self._surface.state.paths
        known = await asyncio.to_thread(known_personas, paths)
        if not name:
            self._report(known.problems)
            choices = [Choice(key, key, p.description) for key, p in known.contents.items()]
            choices.append(Choice(NOBODY, tr(NOBODY), tr(NOBODY_HELP)))
            picker = DescribedPicker(tr(PERSONA_QUESTION), choices)
            chosen = await self._surface.screen.app.push_screen_wait(picker)
            if chosen is None:
                return
            name = chosen
        if name == NOBODY and NOBODY not in known.contents:
            await self._use("", None)
            return
        try:
            persona = known.find(name, NO_SUCH_PERSONA)
        except CatalogError as error:
            self._surface.status.show(str(error), "problem")
        else:
            await self._use(name, persona)

    async def _use(self, name: str, persona: Persona | None) -> None:
        from baize_tui.chat.persona_settings import with_persona, without_persona

        surface, view = self._surface, self._conversation_view
        before, defaults = view.present(), surface.state.settings.chat
        if persona is None:
            changed = without_persona(before, defaults)
        else:
            changed = with_persona(before, name, persona, defaults)
        stored = await view.change_options(changed)

        async def undo() -> None:
            now = await surface.chat.conversations.get(stored.id)
            await view.change_options(_with_options_of(before, now))

        self._undo_stack.push(undo)
        if persona is not None and not surface.transcript.turns:
            view.show_greeting(persona.greeting)
        key = surface.state.keys["undo"]
        surface.status.show(tr(CHOSEN, name=name, key=key) if name else tr(REMOVED, key=key))

    # --- prompts --------------------------------------------------------------------------------

    async def choose_prompt(self, name: str) -> None:
        """Put the prompt ``name`` in front of the draft; without one, ask which."""
        from baize_tui.app.screens.described_picker import DescribedPicker
        from baize_tui.app.screens.picker import Choice
        from baize_tui.catalog.prompt_snippets import NO_SUCH_PROMPT, known_snippets

        paths = self._surface.state.paths
        known = await asyncio.to_thread(known_snippets, paths)
        if not name:
            self._report(known.problems)
            choices = [Choice(key, key, s.description) for key, s in known.contents.items()]
            if not choices:
                text = tr(NO_PROMPTS, folder=paths.prompts_folder)
                self._surface.status.show(text, "problem")
                return
            picker = DescribedPicker(tr(PROMPT_QUESTION), choices)
            chosen = await self._surface.screen.app.push_screen_wait(picker)
            if chosen is None:
                return
            name = chosen
        try:
            snippet = known.find(name, NO_SUCH_PROMPT)
        except CatalogError as error:
            self._surface.status.show(str(error), "problem")
        else:
            await self._insert(name, snippet)

    async def _insert(self, name: str, snippet: Snippet) -> None:
        from baize_tui.app.screens.variables import VariablesScreen
        from baize_tui.app.widgets.pastes import editable_parts

        values: dict[str, str] | None = {}
        if snippet.asked:
            screen = VariablesScreen(name, snippet.asked)
            values = await self._surface.screen.app.push_screen_wait(screen)
        if values is None:
            return
        self._surface.prompt.put_in_front(editable_parts(snippet.fill(values)))
        self._surface.focus_prompt()


def _with_options_of(before: Conversation, now: Conversation) -> Conversation:
    """``now`` with the options that ``before`` had."""
    return msgspec.structs.replace(
        now,
        persona=before.persona,
        system=before.system,
        moderation=before.moderation,
        format=before.format,
        think=before.think,
        overflow=before.overflow,
        stop=before.stop,
        adapters=before.adapters,
        sampling=before.sampling,
    )
