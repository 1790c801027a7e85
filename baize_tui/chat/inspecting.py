"""Looking inside: the exact prompt, the probabilities of an answer's tokens, and replays.

Nothing here changes what is stored, but ``take_other``, which begins a branch.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from baize_shared.sanitizer import clean_text
from baize_tui.chat.active_model import ActiveModel, RunningModel
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.answer_plan import AnswerPlan, conversation_prompt, question_message
from baize_tui.chat.context import History, visible_history
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.events import EngineUse
from baize_tui.chat.provenance import make_provenance
from baize_tui.chat.replay import Replay, changed_facts, first_difference
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.engine.protocol import (
    Finished,
    Judge,
    JudgedToken,
    Prompt,
    PromptPiece,
    ReadPrompt,
    TokenChoice,
)
from baize_tui.store.records import AnswerContent, Conversation, Message
from baize_tui.translation import msg, tr

NO_TOKENS = msg("a person wrote this answer, or changed it: it has no tokens")
OTHER_MODEL = msg("this answer was generated with another vocabulary than the loaded model's")
NO_RECORD = msg("there is no record of how this answer was made")


class ShownPrompt(Struct, frozen=True):
    """What the model reads of a conversation."""

    pieces: Sequence[PromptPiece]
    dropped: int
    """How many messages above are not in it any more."""
    summary: str
    """What stands for them; empty if nothing does."""
    n_ctx: int

    @property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    @property
    def cached_tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces if piece.is_cached)


class Inspecting:
    """Reads prompts and answers with the loaded model, while nothing else uses the engine."""

    def __init__(
        self,
        engine: Engine,
        lock: EngineLock,
        active_model: ActiveModel,
        options: EffectiveOptions,
        thread: StoreThread,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._active_model = active_model
        self._options = options
        self._thread = thread
        self._store = thread.store

    async def prompt(
        self, conversation: Conversation, leaf_id: int | None, draft: str
    ) -> ShownPrompt:
        """What the model would read if ``draft`` was asked after message ``leaf_id``; without a
        draft, what it has to read so far.

        Raises:
            EngineFailure: no model is loaded, its template failed, or a server reads it.
            StoreError, UnknownFormat, CatalogError, SettingsError: as their messages say.
        """
        path = await self._path(leaf_id)
        history = visible_history(path, conversation.context_start)
        seen = len(history.messages)
        if draft:
            history = history.with_question(question_message(draft))
        running = await self._load(conversation)
        request = ReadPrompt(0, self._prompt(conversation, history, running))
        async with self._lock.hold(EngineUse("look", conversation.title)):
            read = await self._engine.read_prompt(request)
        return ShownPrompt(read.pieces, len(path) - seen, history.summary, running.loaded.n_ctx)

    async def tokens(self, message: Message) -> list[JudgedToken]:
        """How likely each token of an answer was to the loaded model, before any sampling.

        Raises:
            EngineFailure: it has no tokens of this model, or they cannot be read.
            StoreError, UnknownFormat, CatalogError, SettingsError: as their messages say.
        """
        conversation, _, history = await self._before(message)
        running = await self._load(conversation)
        ids = self._ids(message)
        prompt = self._prompt(conversation, history, running)
        judge = Judge(0, prompt, ids, self._options.adapters(conversation), conversation.id)
        async with self._lock.hold(EngineUse("look", conversation.title)):
            return (await self._engine.judge(judge)).tokens

    async def take_other(
        self, message: Message, tokens: Sequence[JudgedToken], place: int, other: TokenChoice
    ) -> Message:
        """Begin a branch with the tokens before ``place`` and ``other`` there; returns its answer,
        which can be continued.

        Raises:
            StoreError: it cannot be saved.
        """
        ids = [*(token.chosen.id for token in tokens[:place]), other.id]
        reasoning, text = _split(message, tokens, place, other)

        def begin() -> Message:
            begun = self._store.add_message(
                message.conversation_id,
                message.parent_id,
                "assistant",
                text,
                state="streaming",
                ids=ids,
                tokenizer=message.tokenizer,
            )
            content = AnswerContent(begun.id, text, reasoning, ids, message.tokenizer)
            self._store.answers.finish(content, "stopped", None)
            return self._store.message(begun.id)

        return await self._thread.call(begin)

    async def replay(self, message: Message) -> Replay:
        """Generate an answer again as it is recorded, and compare: nothing is stored.

        Raises:
            EngineFailure: there is no record, or it cannot be generated.
            StoreError, UnknownFormat, CatalogError, SettingsError: as their messages say.
        """
        made = message.provenance
        if not made:
            raise EngineFailure(tr(NO_RECORD))
        ids = self._ids(message)
        conversation, question, history = await self._before(message)
        sampling = {**made.get("sampling", {}), "seed": made.get("seed")}
        options = AnswerOptions(
            sampling=sampling, max_tokens=max(len(ids), 1), max_thinking_tokens=len(ids)
        )
        await self._load(conversation)
        plan = self._options.plan(conversation, options, question, None)
        async with self._lock.hold(EngineUse("look", conversation.title)):
            finished = await self._generate(plan, history)
            now = make_provenance(
                plan, finished, history, self._active_model.known_sha256, None, None
            )
            changed = changed_facts(made, now)
            place = first_difference(ids, finished.ids)
            if place is None:
                return Replay(None, changed=changed)
            before = await self._token(plan, history, ids, place)
            after = await self._token(plan, history, finished.ids, place)
        return Replay(place, before, after, changed)

    async def _generate(self, plan: AnswerPlan, history: History) -> Finished:
        generation = self._engine.generate(plan.request(history))
        try:
            async for event in generation:
                if isinstance(event, Finished):
                    return event
        finally:
            generation.cancel()
        raise AssertionError("an answer ends with Finished")

    async def _token(
        self, plan: AnswerPlan, history: History, ids: Sequence[int], place: int
    ) -> TokenChoice | None:
        """The token at ``place``; None if ``ids`` end there."""
        if place >= len(ids):
            return None
        conversation_id = plan.conversation.id
        until = list(ids[: place + 1])
        judge = Judge(0, plan.prompt(history), until, plan.adapters, conversation_id, choices=1)
        return (await self._engine.judge(judge)).tokens[-1].chosen

    # --- what an answer was asked with ----------------------------------------------------------

    async def _path(self, leaf_id: int | None) -> list[Message]:
        return [] if leaf_id is None else await self._thread.call(self._store.path, leaf_id)

    async def _before(self, message: Message) -> tuple[Conversation, Message, History]:
        """The conversation of an answer, its question, and what the model sees up to that."""
        conversation = await self._thread.call(self._store.conversation, message.conversation_id)
        path = await self._path(message.parent_id)
        return conversation, path[-1], visible_history(path, conversation.context_start)

    async def _load(self, conversation: Conversation) -> RunningModel:
        """Load the conversation's model if necessary."""
        required = await self._active_model.required_for_answer(conversation)
        if required is not None:
            async with self._lock.hold(EngineUse("load", required.name)):
                await self._active_model.load(required, None)
        return self._active_model.require()

    def _prompt(
        self, conversation: Conversation, history: History, running: RunningModel
    ) -> Prompt:
        """What the model reads of ``history``."""
        return conversation_prompt(
            conversation,
            self._options.prompt_format(conversation),
            history,
            running.loaded.tokenizer,
            think=self._options.think(conversation),
        )

    def _ids(self, message: Message) -> list[int]:
        """The tokens of an answer.

        Raises:
            EngineFailure: it has none, or they are of another vocabulary.
        """
        loaded = self._active_model.loaded
        if not message.ids:
            raise EngineFailure(tr(NO_TOKENS))
        if loaded is not None and loaded.tokenizer and message.tokenizer != loaded.tokenizer:
            raise EngineFailure(tr(OTHER_MODEL))
        return list(message.ids)


def _split(
    message: Message, tokens: Sequence[JudgedToken], place: int, other: TokenChoice
) -> tuple[str, str]:
    """Thought and answer up to ``place``, with ``other`` there. The engine writes both anew from
    the tokens as soon as the answer is continued."""
    texts = [token.chosen.text for token in tokens]
    begin, length = len(texts), 0
    while begin and length < len(message.text):
        begin -= 1
        length += len(texts[begin])
    if message.reasoning and place < begin:
        until = "".join(texts[:place])
        return message.reasoning[: max(len(until), 1)], ""
    begin = begin if message.reasoning else 0
    return message.reasoning, clean_text("".join(texts[begin:place]) + other.text)
