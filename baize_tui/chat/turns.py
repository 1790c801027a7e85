"""The life of a message: ask, regenerate, continue, edit, all through one streaming path.

A face calls one of these with a text and shows the events; this renders the prompt, journals the
answer to the store while it streams, drives the engine, and keeps the context within its budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from baize_tui import __version__
from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.budget import FILL_AFTER_CUT, first_kept, reserve_for_answer
from baize_tui.chat.events import (
    Answering,
    Asked,
    ChatEvent,
    Delta,
    Failed,
    Finished,
    NotSaved,
    TurnsLeft,
)
from baize_tui.chat.formats import OWN_TEMPLATE, UnknownFormat, build_prompt, format_named
from baize_tui.chat.journal import Journal
from baize_tui.chat.reasoning import split_reasoning
from baize_tui.engine import protocol
from baize_tui.engine.client import Engine, EngineFailure, Generation, ModelSpec, WorkerDied
from baize_tui.engine.protocol import LoadedModel, Prefilling
from baize_tui.sanitizer import clean_line, clean_text
from baize_tui.settings import Sampling, Settings, sampling_of
from baize_tui.store.conversations import NEW_TITLE, Store, StoreError
from baize_tui.store.records import Conversation, Message, MessageState, Provenance

TITLE_LENGTH = 60
T = TypeVar("T")


class NoModel(Exception):
    """A turn needs a model and none is loaded."""


class Chat:
    """Conversations over one store and one engine; every method belongs to one event loop."""

    def __init__(self, store: Store, engine: Engine, settings: Settings, cache: Path) -> None:
        """``cache`` is the folder where hashes of model files are remembered."""
        self.store = store
        self.settings = settings
        self._engine = engine
        self.cache = cache
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._running: dict[str, Generation] = {}
        self._unsaved: dict[int, Callable[[], None]] = {}
        self._hash: Future[str] = Future()
        self._later: set[asyncio.Task[None]] = set()
        self.model: CatalogModel | None = None
        self.loaded: LoadedModel | None = None
        self.sampling = sampling_of(settings.sampling)
        self.max_tokens = settings.chat.max_tokens

    async def run(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call a method of the store in the store's own thread, so that no screen waits for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **named))

    # --- the model ------------------------------------------------------------------------------

    async def use_model(
        self, model: CatalogModel, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load ``model``; its recipe's sampling lies under what the settings say.

        Raises:
            EngineFailure: the file cannot be loaded.
        """
        assert model.path is not None
        chosen = self.settings.model
        spec = ModelSpec(
            path=str(model.path),
            context=model.recipe.context or chosen.context,
            threads=chosen.threads,
            threads_batch=chosen.threads_batch,
            gpu_layers=chosen.gpu_layers,
        )
        self.loaded = None
        self.loaded = await self._engine.load(spec, progress)
        self.model = model
        self.sampling = sampling_of(model.recipe.sampling, self.settings.sampling)
        self._hash = self._start_hash(model.path)
        return self.loaded

    def _start_hash(self, path: Path) -> Future[str]:
        # A daemon thread: quitting must not wait until a large file is read.
        future: Future[str] = Future()

        def compute() -> None:
            try:
                future.set_result(model_sha256(path, self.cache))
            except OSError as error:
                future.set_exception(error)

        threading.Thread(target=compute, name="model hash", daemon=True).start()
        return future

    def format_of(self, conversation: Conversation) -> str:
        """Name of the prompt format in use: the conversation's, the recipe's, or the settings'."""
        recipe = self.model.recipe.format if self.model is not None else None
        own = None if self.loaded is None or self.loaded.has_template else "chatml"
        return conversation.format or recipe or self.settings.chat.format or own or OWN_TEMPLATE

    async def new_conversation(
        self, *, system: str | None = None, format: str | None = None
    ) -> Conversation:
        chat = self.settings.chat
        return await self.run(
            self.store.new_conversation,
            system=chat.system if system is None else system,
            moderation=chat.moderation,
            model=self.model.name if self.model is not None else None,
            format=format,
        )

    # --- turns ----------------------------------------------------------------------------------

    async def ask(
        self, conversation_id: str, text: str, sampling: Sampling | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Say ``text`` at the end of the conversation's branch, and answer it."""
        text = clean_text(text)
        try:
            conversation = await self.run(self.store.conversation, conversation_id)
            asked = await self.run(
                self.store.add_message, conversation_id, conversation.leaf_id, "user", text
            )
            if conversation.title == NEW_TITLE and asked.parent_id is None:
                await self.run(self.store.rename, conversation_id, title_from(text))
        except StoreError as error:
            yield Failed(str(error), None)
            return
        yield Asked(asked)
        async with contextlib.aclosing(self._answer(asked, None, sampling)) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, message_id: int, sampling: Sampling | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Answer again: a sibling of answer ``message_id``, or the first answer to a question."""
        message = await self.run(self.store.message, message_id)
        if message.role == "assistant" and message.parent_id is not None:
            message = await self.run(self.store.message, message.parent_id)
        async with contextlib.aclosing(self._answer(message, None, sampling)) as events:
            async for event in events:
                yield event

    async def continue_answer(
        self, message_id: int, sampling: Sampling | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Go on with an answer from its last token."""
        message = await self.run(self.store.message, message_id)
        assert message.role == "assistant"
        assert message.parent_id is not None
        question = await self.run(self.store.message, message.parent_id)
        async with contextlib.aclosing(self._answer(question, message, sampling)) as events:
            async for event in events:
                yield event

    async def edit(
        self, message_id: int, text: str, sampling: Sampling | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """A branch with other words: a new question is answered, a new answer stands as it is."""
        old = await self.run(self.store.message, message_id)
        try:
            message = await self.run(
                self.store.add_message,
                old.conversation_id,
                old.parent_id,
                old.role,
                clean_text(text),
            )
        except StoreError as error:
            yield Failed(str(error), None)
            return
        yield Asked(message)
        if old.role == "user":
            async with contextlib.aclosing(self._answer(message, None, sampling)) as events:
                async for event in events:
                    yield event

    async def walk_branches(self, message_id: int, step: int) -> bool:
        """Show the branch ``step`` beside the one of ``message_id``; False where there is none."""
        siblings = await self.run(self.store.siblings, message_id)
        place = siblings.index(message_id) + step if message_id in siblings else -1
        if not 0 <= place < len(siblings):
            return False
        message = await self.run(self.store.message, message_id)
        leaf = await self.run(self.store.leaf_below, siblings[place])
        await self.run(self.store.set_leaf, message.conversation_id, leaf)
        return True

    def stop(self, conversation_id: str) -> bool:
        """Stop the answer that is on its way; what came is kept. False when none is."""
        running = self._running.get(conversation_id)
        if running is not None:
            running.cancel()
        return running is not None

    @property
    def busy(self) -> set[str]:
        """Conversations with an answer on its way."""
        return set(self._running)

    # --- the one streaming path -----------------------------------------------------------------

    async def _answer(
        self, question: Message, partial: Message | None, sampling: Sampling | None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Generate the answer to ``question``, or go on with ``partial``."""
        answer: _GrowingAnswer | None = None
        sampling = sampling or self.sampling
        try:
            loaded, model = self._require_model()
            conversation = await self.run(self.store.conversation, question.conversation_id)
            path = await self.run(self.store.path, question.id)
            history = _in_context(conversation, path)
            fitted = False
            while answer is None:
                request = self._request(conversation, history, partial, sampling)
                generation = self._engine.generate(request)
                self._running[conversation.id] = generation
                try:
                    async for event in generation:
                        if isinstance(event, Prefilling):
                            yield event
                            continue
                        if answer is None:
                            answer = await self._begin(conversation, question, partial, loaded)
                            yield Answering(answer.message)
                        if isinstance(event, protocol.Delta):
                            answer.add(event)
                            yield Delta(event.text, answer.text, answer.reasoning)
                            if why := answer.journal.take_problem():
                                yield NotSaved(why)
                        else:
                            yield await self._finish(answer, event, conversation, model, sampling)
                except EngineFailure as failure:
                    if failure.kind != "too_long" or fitted:
                        raise
                    fitted = True
                    kept = await self._fit(conversation, history, partial, sampling, failure)
                    yield TurnsLeft(kept[0], len(path) - len(kept))
                    history = kept
        except (EngineFailure, StoreError, NoModel, UnknownFormat) as error:
            left = None
            if answer is not None:
                died = isinstance(error, WorkerDied)
                left = await self._keep(answer, "interrupted" if died else "failed")
            yield Failed(str(error), left)
        finally:
            self._running.pop(question.conversation_id, None)
            if answer is not None and not answer.kept:
                # The face went away in mid-answer: what came is kept as stopped.
                await asyncio.shield(self._keep(answer, "stopped"))

    def _require_model(self) -> tuple[LoadedModel, CatalogModel]:
        if self.loaded is None or self.model is None:
            raise NoModel("no model is loaded")
        return self.loaded, self.model

    def _request(
        self,
        conversation: Conversation,
        history: Sequence[Message],
        partial: Message | None,
        sampling: Sampling,
    ) -> protocol.Generate:
        loaded, _ = self._require_model()
        name = self.format_of(conversation)
        chosen = format_named(name)
        return protocol.Generate(
            request=0,
            prompt=build_prompt(
                name,
                history,
                system=conversation.system,
                moderation=conversation.moderation,
                tokenizer=loaded.tokenizer,
                partial=partial,
            ),
            sampling=sampling,
            max_tokens=self.max_tokens,
            reserve=reserve_for_answer(self.max_tokens, loaded.n_ctx),
            stop=list(chosen.stop),
            trim_at_stop=chosen.trim_at_stop,
        )

    async def _fit(
        self,
        conversation: Conversation,
        history: Sequence[Message],
        partial: Message | None,
        sampling: Sampling,
        failure: EngineFailure,
    ) -> Sequence[Message]:
        """``history`` without the oldest turns that the context has no room for.

        Raises:
            EngineFailure: even the last question alone is too long.
        """
        loaded, _ = self._require_model()
        reserve = reserve_for_answer(self.max_tokens, loaded.n_ctx)

        async def count(first: int) -> int:
            request = self._request(conversation, history[first:], partial, sampling)
            return await self._engine.count(protocol.Count(request=0, prompt=request.prompt))

        room = loaded.n_ctx - reserve
        first = await first_kept(history, int(room * FILL_AFTER_CUT), count)
        if first is None:
            first = await first_kept(history, room, count)
        if first is None:
            raise EngineFailure(
                f"the message is too long: with the system prompt {failure.tokens} tokens, and "
                f"{reserve} are kept for the answer, but the context holds {loaded.n_ctx}. "
                "Shorten it, or set a larger model.context",
                "too_long",
                failure.tokens,
                loaded.n_ctx,
            )
        await self.run(self.store.set_context_start, conversation.id, history[first].id)
        return history[first:]

    async def _begin(
        self,
        conversation: Conversation,
        question: Message,
        partial: Message | None,
        loaded: LoadedModel,
    ) -> _GrowingAnswer:
        if partial is None:
            message = await self.run(
                self.store.add_message,
                conversation.id,
                question.id,
                "assistant",
                "",
                state="streaming",
                ids=[],
                tokenizer=loaded.tokenizer,
            )
        else:
            await self.run(self.store.begin_streaming, partial.id)
            await self.run(self.store.set_leaf, conversation.id, partial.id)
            message = partial
        return _GrowingAnswer(message, loaded.tokenizer, self.store, self.run)

    async def _finish(
        self,
        answer: _GrowingAnswer,
        event: protocol.Finished,
        conversation: Conversation,
        model: CatalogModel,
        sampling: Sampling,
    ) -> Finished:
        answer.replace(event.text, event.ids)
        state: MessageState = "stopped" if event.reason == "cancelled" else "complete"
        made = self._provenance(event, conversation, model, sampling)
        message = await self._keep(answer, state, made)
        if made.model_sha256 is None and answer.saved:
            self._add_hash_later(message.id)
        return Finished(message, event.reason, event.stats, answer.saved, event.notices)

    async def _keep(
        self, answer: _GrowingAnswer, state: MessageState, made: Provenance | None = None
    ) -> Message:
        """Write the answer down as it is; what cannot be written now is tried again later."""
        answer.kept = True
        await answer.journal.close()
        values = (state, answer.text, answer.reasoning, list(answer.ids), answer.tokenizer, made)

        def write() -> None:
            self.store.finish(answer.message.id, *values)

        message = msgspec.structs.replace(
            answer.message,
            state=state,
            text=answer.text,
            reasoning=answer.reasoning,
            ids=list(answer.ids),
            tokenizer=answer.tokenizer,
            provenance=msgspec.to_builtins(made) if made is not None else None,
        )
        try:
            await self.run(write)
        except StoreError as error:
            answer.saved = False
            self._unsaved[answer.message.id] = write
            answer.problem = str(error)
        return message

    def _provenance(
        self,
        event: protocol.Finished,
        conversation: Conversation,
        model: CatalogModel,
        sampling: Sampling,
    ) -> Provenance:
        loaded, _ = self._require_model()
        stats = event.stats
        known = self._hash.done() and self._hash.exception() is None
        return Provenance(
            model=model.name,
            model_path=loaded.path,
            model_bytes=loaded.file_bytes,
            model_sha256=self._hash.result() if known else None,
            format=self.format_of(conversation),
            adapters={},
            sampling=msgspec.to_builtins(sampling),
            seed=stats.seed,
            threads=stats.threads,
            threads_batch=stats.threads_batch,
            gpu_layers=loaded.gpu_layers,
            prompt_tokens=stats.prompt_tokens,
            reused_tokens=stats.reused_tokens,
            completion_tokens=stats.completion_tokens,
            ttft_s=stats.ttft_s,
            prefill_s=stats.prefill_s,
            decode_s=stats.decode_s,
            finish_reason=event.reason,
            backend=loaded.backend,
            baize_tui=__version__,
        )

    def _add_hash_later(self, message_id: int) -> None:
        async def add() -> None:
            with contextlib.suppress(OSError, StoreError):
                sha256 = await asyncio.wrap_future(self._hash)
                await self.run(self.store.set_model_hash, message_id, sha256)

        self._spawn(add())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # --- what could not be saved ----------------------------------------------------------------

    @property
    def unsaved(self) -> int:
        """Answers that are not on disk yet."""
        return len(self._unsaved)

    async def save_pending(self) -> int:
        """Try again to save what could not be; how many are still not."""
        for message_id, write in list(self._unsaved.items()):
            try:
                await self.run(write)
            except StoreError:
                break
            del self._unsaved[message_id]
        return self.unsaved

    async def close(self) -> None:
        """Stop what runs, save what is left, end the worker."""
        for running in list(self._running.values()):
            running.cancel()
        await self.save_pending()
        for task in list(self._later):
            task.cancel()
        await self._engine.close()
        self._thread.shutdown()
        self.store.close()


class _GrowingAnswer:
    """An answer while it streams, and its journal."""

    def __init__(
        self,
        message: Message,
        tokenizer: str,
        store: Store,
        run: Callable[..., Coroutine[Any, Any, None]],
    ) -> None:
        self.message = message
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.kept = False
        self.saved = True
        self.problem = ""
        self._generated = ""
        self.reasoning, self.text = "", ""

        async def write() -> None:
            await run(
                store.journal,
                message.id,
                self.text,
                self.reasoning,
                list(self.ids),
                tokenizer,
            )

        self.journal = Journal(write)

    def add(self, event: protocol.Delta) -> None:
        self.replace(self._generated + event.text, [*self.ids, *event.ids])
        self.journal.note()

    def replace(self, generated: str, ids: Sequence[int]) -> None:
        self._generated = generated
        self.ids = list(ids)
        self.reasoning, self.text = split_reasoning(generated)


def title_from(text: str) -> str:
    """A title for a conversation: the first line that says something."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return clean_line(first.lstrip("#>*- "), TITLE_LENGTH) or NEW_TITLE


def _in_context(conversation: Conversation, path: Sequence[Message]) -> Sequence[Message]:
    """The part of a branch that the model still sees."""
    start = next(
        (i for i, message in enumerate(path) if message.id == conversation.context_start), 0
    )
    return path[start:]
