"""What the next message has beside its words: files, and the form of its answer; and personas."""

from __future__ import annotations

import asyncio
from pathlib import Path

from baize_shared.one_line_error import OneLineError
from baize_tui.chat.attaching import LooksSecret
from baize_tui.chat.chat import Chat
from baize_tui.measures import count_text
from baize_tui.output_forms import OutputKind, form_text
from baize_tui.paths import project_paths
from baize_tui.plain.open_conversation import OpenConversation
from baize_tui.plain.printer import PlainPrinter
from baize_tui.store.draft_parts import WrittenMessage, as_written
from baize_tui.store.records import DraftParts, Paste, parts_text
from baize_tui.translation import tr

_BETWEEN = "\n\n"


class NotGiven(OneLineError):
    """A command lacks what it needs, or the person has to insist."""


class MessageExtras:
    """Collects what commands add to the next message."""

    def __init__(self, chat: Chat, opened: OpenConversation, printer: PlainPrinter) -> None:
        self._chat = chat
        self._opened = opened
        self._printer = printer
        self._parts: DraftParts = ()
        self._secret = ""

    def take(self, text: str) -> WrittenMessage:
        """The message ``text`` with all that was added for it."""
        parts, self._parts = self._parts, ()
        return as_written((text, *parts))

    async def attach(self, path: str) -> None:
        if not path:
            raise NotGiven(tr("the command is {usage}", usage="/attach PATH"))
        conversation = self._opened.conversation or self._chat.unsaved_conversation()
        insists, self._secret = path == self._secret, ""
        try:
            attached = await self._chat.attaching.attach(
                path, Path.cwd(), conversation, parts_text(self._parts), allow_secret=insists
            )
        except LooksSecret as error:
            self._secret = path
            raise NotGiven(tr("{why}; attach it again to send it anyway", why=error)) from error
        for note in attached.notes:
            self._printer.note(note)
        paste = attached.paste
        tokens = count_text(paste.tokens, "token")
        self._printer.line(tr("attached {name}: {tokens}", name=paste.name, tokens=tokens))
        self._parts = (*self._parts, _BETWEEN, attached.paste)

    async def use_form(self, kind: OutputKind, argument: str) -> None:
        if not argument and kind != "json":
            usage = f"/{kind} {'REGEX' if kind == 'regex' else 'FILE'}"
            raise NotGiven(tr("the command is {usage}", usage=usage))
        from baize_tui.chat.forms import named_form  # most messages have no form

        form = await asyncio.to_thread(named_form, kind, argument)
        if warning := await self._chat.check_form(form):
            self._printer.note(warning)
        self._parts = (*self._parts, Paste(name=form.name, form=form))
        self._printer.line(tr("The next answer will be {form}.", form=form_text(form)))

    async def persona(self, name: str) -> None:
        from baize_tui.catalog.personas import NO_SUCH_PERSONA, known_personas
        from baize_tui.chat.persona_settings import with_persona

        known = await asyncio.to_thread(known_personas, project_paths())
        if not name:
            for problem in known.problems.values():
                self._printer.note(problem)
            for key, each in known.contents.items():
                self._printer.line(f"  {key}: {each.description}")
            return
        persona = known.find(name, NO_SUCH_PERSONA)
        conversation = await self._opened.get_or_create()
        changed = with_persona(conversation, name, persona, self._chat.settings.chat)
        self._opened.conversation = await self._chat.conversations.set_options(changed)
        self._printer.line(f"{name}: {persona.greeting or persona.description}")
