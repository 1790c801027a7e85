"""What the commands of the plain client do."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

import msgspec

from baize_shared.one_line_error import OneLineError
from baize_tui.chat.chat import Chat
from baize_tui.chat.destination import where_words_go
from baize_tui.chat.events import ChatEvent
from baize_tui.plain.commands import GivenCommand, help_lines
from baize_tui.plain.message_extras import MessageExtras
from baize_tui.plain.open_conversation import OpenConversation
from baize_tui.plain.printer import PlainPrinter
from baize_tui.plain.turns import find_answer, find_turn
from baize_tui.store.records import Mark
from baize_tui.translation import msg, tr

NOTHING_BEFORE = msg("turn {turn} has no version before this one")
NOTHING_AFTER = msg("turn {turn} has no version after this one")
DELETED = msg("Turn {turn} and all below it are deleted. /undo restores them.")
MARKED: dict[Mark | None, str] = {
    "good": msg("Answer {turn} is marked as good."),
    "bad": msg("Answer {turn} is marked as bad."),
    None: msg("Answer {turn} has no mark any more."),
}
_LISTED = 20


class PrintAnswer(Protocol):
    """Prints the events of an answer; ``continued`` is the part of it that exists."""

    async def __call__(
        self, events: AsyncGenerator[ChatEvent, None], continued: str = ""
    ) -> None: ...


class UsageError(OneLineError):
    """A command lacks what it needs."""


class CommandHandlers:
    """One method for each command; its argument is what follows the name."""

    def __init__(
        self,
        chat: Chat,
        opened: OpenConversation,
        printer: PlainPrinter,
        answer: PrintAnswer,
        extras: MessageExtras,
    ) -> None:
        self._chat = chat
        self._opened = opened
        self._printer = printer
        self._answer = answer
        self._extras = extras
        self._listed: list[str] = []
        """Ids of the conversations that were listed last."""
        self._deleted: list[int] = []
        self.quitting = False
        self._handlers: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self.help,
            "new": self.new,
            "list": self.list_newest,
            "open": self.open_listed,
            "show": self.show,
            "again": self.again,
            "go-on": self.go_on,
            "edit": self.edit,
            "branch-back": lambda argument: self._show_branch(argument, -1),
            "branch-on": lambda argument: self._show_branch(argument, 1),
            "delete": self.delete,
            "undo": self.undo,
            "good": lambda argument: self._mark(argument, "good"),
            "bad": lambda argument: self._mark(argument, "bad"),
            "thought": self.thought,
            "rename": self.rename,
            "title": self.title,
            "model": self.model,
            "attach": self._extras.attach,
            "json": lambda argument: self._extras.use_form("json", argument),
            "regex": lambda argument: self._extras.use_form("regex", argument),
            "grammar": lambda argument: self._extras.use_form("grammar", argument),
            "persona": self._extras.persona,
            "system": self.system,
            "quit": self.quit,
        }

    async def run(self, given: GivenCommand) -> None:
        """Do what a command says.

        Raises:
            OneLineError: it cannot be done; the message says why.
        """
        if given.command.arguments and given.command.arguments[0] != "[" and not given.argument:
            raise UsageError(tr("the command is {usage}", usage=given.command.usage))
        await self._handlers[given.command.name](given.argument)

    async def help(self, _argument: str) -> None:
        for line in help_lines():
            self._printer.line(line)

    async def quit(self, _argument: str) -> None:
        self.quitting = True

    # --- conversations ------------------------------------------------------------------------

    async def new(self, _argument: str) -> None:
        self._opened.close()
        self._printer.line(tr("A new conversation."))

    async def list_newest(self, _argument: str) -> None:
        listed = await self._chat.conversations.list_with_version(first=_LISTED)
        found = listed.conversations[:_LISTED]
        self._listed = [conversation.id for conversation in found]
        if not found:
            self._printer.line(tr("There is no conversation yet."))
        for number, conversation in enumerate(found, start=1):
            day = time.strftime("%Y-%m-%d", time.localtime(conversation.updated_at))
            self._printer.line(f"{number:>3}  {day}  {conversation.title}")

    async def open_listed(self, argument: str) -> None:
        number = int(argument) if argument.isdecimal() and len(argument) < 4 else 0
        is_listed = 1 <= number <= len(self._listed)
        await self._opened.open(self._listed[number - 1] if is_listed else argument)
        await self.show("")

    async def show(self, _argument: str) -> None:
        conversation = self._opened.conversation
        if conversation is None:
            return
        self._printer.line(tr("Conversation: {title}", title=conversation.title))
        branches = await self._chat.conversations.branches(conversation.id)
        for turn in await self._opened.turns():
            question, answer = turn.question, turn.answer
            self._printer.message(turn.number, question, tr("You"), branches.get(question.id))
            if answer is not None:
                made = answer.provenance or {}
                name = str(made.get("model") or conversation.model or "model")
                self._printer.message(turn.number, answer, name, branches.get(answer.id))

    async def rename(self, argument: str) -> None:
        conversation = await self._opened.get_or_create()
        await self._chat.conversations.rename(conversation.id, argument)
        conversation = await self._opened.open(conversation.id)
        self._printer.line(tr("Conversation: {title}", title=conversation.title))

    async def title(self, _argument: str) -> None:
        conversation = self._opened.conversation
        title = ""
        if conversation is not None:
            title = await self._chat.suggest_title(conversation.id)
        if not title:
            raise UsageError(tr("the model writes no title"))
        await self.rename(title)

    # --- turns --------------------------------------------------------------------------------

    async def again(self, argument: str) -> None:
        turn = find_turn(await self._opened.turns(), argument)
        message = turn.answer or turn.question
        await self._answer(self._chat.regenerate(message.id))

    async def go_on(self, _argument: str) -> None:
        _, answer = find_answer(await self._opened.turns(), "")
        await self._answer(self._chat.continue_answer(answer.id), answer.text)

    async def edit(self, argument: str) -> None:
        number, _, text = argument.partition(" ")
        turn = find_turn(await self._opened.turns(), number)
        if not text.strip():
            raise UsageError(tr("the command is {usage}", usage="/edit N TEXT"))
        await self._answer(self._chat.edit(turn.question.id, text.strip()))

    async def _show_branch(self, argument: str, step: int) -> None:
        turn = find_turn(await self._opened.turns(), argument)
        messages = [turn.question] if turn.answer is None else [turn.answer, turn.question]
        for message in messages:
            if await self._chat.messages.show_sibling(message.id, step):
                await self._opened.refresh()
                await self.show("")
                return
        why = NOTHING_BEFORE if step < 0 else NOTHING_AFTER
        raise UsageError(tr(why, turn=turn.number))

    async def delete(self, argument: str) -> None:
        turn = find_turn(await self._opened.turns(), argument)
        await self._chat.messages.delete(turn.question.id)
        self._deleted.append(turn.question.id)
        await self._opened.refresh()
        self._printer.line(tr(DELETED, turn=turn.number))

    async def undo(self, _argument: str) -> None:
        if not self._deleted:
            raise UsageError(tr("there is nothing to undo"))
        conversation = await self._chat.messages.undelete(self._deleted.pop())
        await self._opened.open(conversation.id)
        await self.show("")

    async def _mark(self, argument: str, mark: Mark) -> None:
        turn, answer = find_answer(await self._opened.turns(), argument)
        new = None if answer.mark == mark else mark
        await self._chat.messages.set_mark(answer.id, new)
        self._printer.line(tr(MARKED[new], turn=turn.number))

    async def thought(self, argument: str) -> None:
        turn, answer = find_answer(await self._opened.turns(), argument)
        if not answer.reasoning:
            raise UsageError(tr("answer {turn} has no thought before it", turn=turn.number))
        self._printer.line(answer.reasoning.strip())

    # --- model and options --------------------------------------------------------------------

    async def model(self, argument: str) -> None:
        if not argument:
            self._printer.line(tr("{model} answers.", model=self._opened.answerer))
            return
        model = self._chat.catalog.find_model(argument)
        active, conversation = self._chat.active_model, self._opened.conversation
        self._printer.line(tr("loading {model}", model=model.name))
        await self._chat.use_model(model)
        model = active.require().model  # a server may have named it
        active.one_model = False
        if conversation is not None:
            changed = active.assign_to(conversation, model)
            self._opened.conversation = await self._chat.conversations.set_options(changed)
        self._printer.line(
            tr("{model} answers. {where}", model=model.name, where=where_words_go(model))
        )

    async def system(self, argument: str) -> None:
        if argument:
            conversation = await self._opened.get_or_create()
            changed = msgspec.structs.replace(conversation, system=argument)
            self._opened.conversation = await self._chat.conversations.set_options(changed)
        conversation = self._opened.conversation or self._chat.unsaved_conversation()
        self._printer.line(tr("System prompt: {text}", text=conversation.system or tr("none")))
