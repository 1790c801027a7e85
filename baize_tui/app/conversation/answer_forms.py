"""The form of the next answer: JSON, a regular expression or a grammar, as an object in the
prompt."""

from __future__ import annotations

import asyncio

from baize_tui.app.conversation.surface import Surface
from baize_tui.output_forms import OutputKind, form_text
from baize_tui.store.records import Paste
from baize_tui.translation import msg, tr

REGEX_QUESTION = msg("Regular expression that the answer has to match")
GRAMMAR_QUESTION = msg("Path of a GBNF file that the answer has to follow")
READY = msg("the answer to this message will be {form}")


class AnswerForms:
    """Puts the form that a command names into the prompt, once it was checked."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    async def choose(self, kind: OutputKind, argument: str) -> None:
        """Use the form that ``argument`` names; without one, ask for it or take any JSON."""
        from baize_tui.app.screens.dialogs import LineDialog
        from baize_tui.chat.forms import named_form
        from baize_tui.engine.grammars.errors import UnusableForm

        question = {"regex": tr(REGEX_QUESTION), "grammar": tr(GRAMMAR_QUESTION)}.get(kind)
        if not argument and question is not None:
            typed = await self._surface.screen.app.push_screen_wait(LineDialog(question))
            if not typed:
                return
            argument = typed
        try:
            form = await asyncio.to_thread(named_form, kind, argument)
            warning = await self._surface.chat.check_form(form)
        except UnusableForm as error:
            self._surface.status.show(str(error), "problem")
            return
        self._surface.prompt.put_form(Paste(name=form_text(form), form=form))
        self._surface.focus_prompt()
        self._surface.status.show(warning or tr(READY, form=form_text(form)))
