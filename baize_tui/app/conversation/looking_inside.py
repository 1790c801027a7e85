"""Looking inside: what the model reads, how likely its tokens were, and whether it repeats them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import TypeVar

from baize_shared.sanitizer import clean_line
from baize_tui.app.conversation.answers import Answers
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.surface import Surface
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.chat.formats import UnknownFormat
from baize_tui.chat.replay import Replay
from baize_tui.engine.client import EngineFailure
from baize_tui.settings import SettingsError
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

T = TypeVar("T")

LOOK_GROUP = "look"
"""The group of the worker that looks."""
REPLAY = msg("Replay")
WORKING = msg("reading the answer token by token · {key} stops")
REPLAYING = msg("generating the answer again · {key} stops")
SAME = msg("The same answer came again, token for token.")
DIFFERENT = msg("Token {number} differs.")
BEFORE, NOW = msg("Then"), msg("Now")
CHANGED = msg("What has changed since:")
NOTHING_CHANGED = msg("Nothing that is recorded has changed: only rounding can be the reason.")
ENDED = msg("the answer ended")
_FAILURES = (EngineFailure, NoModelLoaded, CatalogError, SettingsError, UnknownFormat)


class LookingInside:
    """Shows prompts and answers as tokens."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        conversation_view: ConversationView,
        answers: Answers,
    ) -> None:
        self._surface = surface
        self._idle_status = idle_status
        self._conversation_view = conversation_view
        self._answers = answers

    def stop(self) -> bool:
        """Stop looking; False if nothing is looked at."""
        screen = self._surface.screen
        looking = [worker for worker in screen.workers if worker.group == LOOK_GROUP]
        screen.workers.cancel_group(screen, LOOK_GROUP)
        return bool(looking)

    async def show_prompt(self) -> None:
        """Show what the model would read if the draft was sent."""
        from baize_tui.app.screens.prompt_view import PromptView

        conversation = self._conversation_view.present()
        draft = self._surface.prompt.draft
        inspecting = self._surface.chat.inspecting
        prompt = await self._try(inspecting.prompt(conversation, conversation.leaf_id, draft))
        if prompt is not None:
            self._surface.screen.app.push_screen(PromptView(prompt))

    async def show_tokens(self) -> None:
        """Show how likely the tokens of the answer were; another one begins a branch."""
        from baize_tui.app.screens.token_view import TokenView

        message = await self._answer()
        if message is None:
            return
        inspecting, view = self._surface.chat.inspecting, self._surface.view
        self._show_work(WORKING)
        tokens = await self._try(inspecting.tokens(message))
        if not tokens:
            return
        screen = TokenView(tokens, can_take=not view.is_answering)
        taken = await self._surface.screen.app.push_screen_wait(screen)
        if taken is None or view.is_answering:
            return
        begun = await inspecting.take_other(message, tokens, taken.place, taken.token)
        conversation = await self._surface.chat.conversations.get(begun.conversation_id)
        await self._conversation_view.open(conversation)
        self._answers.start(conversation, self._surface.chat.continue_answer(begun.id))

    async def replay(self) -> None:
        """Generate the answer again, and say where it differs."""
        from baize_tui.app.screens.dialogs import NoteDialog

        message = await self._answer()
        if message is None:
            return
        self._show_work(REPLAYING)
        replay = await self._try(self._surface.chat.inspecting.replay(message))
        if replay is not None:
            text = "\n".join(replay_lines(replay))
            self._surface.screen.app.push_screen(NoteDialog(tr(REPLAY), text))

    async def _answer(self) -> Message | None:
        """The selected answer, or the last one, with its tokens."""
        turn = self._surface.transcript.turn_to_work_on("assistant")
        if turn is None or turn.message.role != "assistant" or turn.growing:
            return None
        return await self._surface.chat.messages.get(turn.message.id)

    def _show_work(self, text: str) -> None:
        key = self._surface.state.keys["stop"]
        self._surface.status.show(tr(text, key=key), "busy")

    async def _try(self, looking: Awaitable[T]) -> T | None:
        """What ``looking`` finds; None if it fails, and the reason is shown."""
        try:
            found = await looking
        except _FAILURES as error:
            self._surface.status.show(str(error), "problem")
            return None
        self._idle_status.show_current()
        return found


def replay_lines(replay: Replay) -> Iterator[str]:
    """What a replay has shown, for a person."""
    if replay.place is None:
        yield tr(SAME)
    else:
        yield tr(DIFFERENT, number=replay.place + 1)
        for name, token in ((tr(BEFORE), replay.before), (tr(NOW), replay.now)):
            said = tr(ENDED)
            if token is not None:
                said = f"“{clean_line(token.text)}” ({token.probability:.1%})"
            yield f"  {name}: {said}"
    if replay.changed:
        yield f"\n{tr(CHANGED)}"
        yield from (f"  {line}" for line in replay.changed)
    elif replay.place is not None:
        yield f"\n{tr(NOTHING_CHANGED)}"
