"""The loop of the plain client: read a message, answer it or obey it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from types import FrameType

from baize_shared.one_line_error import OneLineError
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.destination import where_words_go
from baize_tui.chat.events import ChatEvent, MessageSaved, WordsLeave
from baize_tui.plain.commands import looks_like_command, parse_command
from baize_tui.plain.handlers import CommandHandlers
from baize_tui.plain.input_lines import InputLines
from baize_tui.plain.message_extras import MessageExtras
from baize_tui.plain.open_conversation import OpenConversation
from baize_tui.plain.printer import PlainPrinter
from baize_tui.translation import msg, tr

GREETING = msg("baize-tui without a screen. /help lists the commands; Ctrl-D quits.")
NO_COMMAND = msg(
    "{command} is not a command; /help lists them. An empty line sends the text as a message"
)


class PlainClient:
    """A chat on standard input and output."""

    def __init__(self, chat: Chat, lines: InputLines, *, echoed: bool) -> None:
        """``echoed`` says that a terminal shows what is typed."""
        self._chat = chat
        self._lines = lines
        self._echoed = echoed
        self._printer = PlainPrinter()
        self._opened = OpenConversation(chat)
        self._extras = MessageExtras(chat, self._opened, self._printer)
        self._handlers = CommandHandlers(
            chat, self._opened, self._printer, self._answer, self._extras
        )
        self._refused = ""
        """What looked like a command and was none: an empty line sends it as a message."""

    async def run(self, session: str | None, wanted: CatalogModel | None) -> None:
        """Serve until the person quits.

        ``session`` is the id of the conversation to open, and ``wanted`` the model that answers;
        None is that of the conversation, or the default.

        Raises:
            CatalogError, EngineFailure: there is no model that could answer.
            StoreError: the conversation cannot be read.
        """
        self._chat.listen_for_notices(self._printer.note)
        self._stop_on_ctrl_c()
        await self._open(session, wanted)
        self._lines.start()
        while not self._handlers.quitting:
            self._printer.prompt(len(await self._opened.turns()) + 1)
            text = await self._lines.next()
            if text is None:
                break
            if self._echoed:
                self._printer.person_ended_line()
            else:
                self._printer.question(text)
            try:
                await self._receive(text)
            except OneLineError as error:
                self._printer.note(str(error))
        self._printer.line()

    async def _open(self, session: str | None, wanted: CatalogModel | None) -> None:
        if session is not None:
            await self._opened.open(session)
        self._printer.line(tr(GREETING))
        model = await self._load_model(wanted)
        self._printer.line(
            tr("{model} answers. {where}", model=model.name, where=where_words_go(model))
        )
        await self._handlers.show("")

    async def _load_model(self, wanted: CatalogModel | None) -> CatalogModel:
        """Load the model that answers next."""
        active, conversation = self._chat.active_model, self._opened.conversation
        model = wanted
        if model is None and conversation is not None:
            try:
                model = active.required_by(conversation)
            except CatalogError as error:
                self._printer.note(tr("{why}. /model NAME chooses another one", why=error))
        model = model or self._chat.default_model()
        self._printer.line(tr("loading {model}", model=model.name))
        await self._chat.use_model(model)
        return active.require().model

    async def _receive(self, text: str) -> None:
        refused, self._refused = self._refused, ""
        if not text.strip():
            if refused:
                await self._ask(refused)
            return
        if not looks_like_command(text):
            await self._ask(text.removeprefix(" ") if text.startswith(" /") else text)
            return
        given = parse_command(text)
        if given is None:
            self._refused = text
            self._printer.note(tr(NO_COMMAND, command=text.split()[0]))
            return
        await self._handlers.run(given)

    async def _ask(self, text: str) -> None:
        conversation = await self._opened.get_or_create()
        written = self._extras.take(text)
        await self._answer(
            self._chat.ask(
                conversation.id,
                written.text,
                typed=text,
                attachments=written.attachments,
                form=written.form,
            )
        )

    async def _answer(self, events: AsyncGenerator[ChatEvent, None], continued: str = "") -> None:
        """Print an answer while it comes; ``continued`` is its text so far."""
        number = 0
        async with contextlib.aclosing(events) as answering:
            async for event in answering:
                if number == 0 and not isinstance(event, MessageSaved | WordsLeave):
                    number = max(1, len(await self._opened.turns()))
                    self._printer.begin_answer(number, self._opened.answerer, continued)
                self._printer.show(event)
        await self._opened.refresh()

    def _stop_on_ctrl_c(self) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            conversation = self._opened.conversation
            if conversation is None or not self._chat.stop(conversation.id):
                self._printer.note(tr("Ctrl-D or /quit quits"))

        def stop_soon(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stop)

        # Not loop.add_signal_handler, which would take the signals away from the exit watch.
        signal.signal(signal.SIGINT, stop_soon)
