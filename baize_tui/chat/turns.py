"""The life of a message: ask, regenerate, continue, edit, all through one streaming path.

A face calls one of these with a text and shows the events; this renders the prompt, journals the
answer to the store while it streams, drives the engine, and keeps the context within its budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from baize_shared.sanitizer import clean_text
from baize_tui import __version__
from baize_tui.catalog.adapters import AdapterRecipe, CatalogAdapter
from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain
from baize_tui.chat.budget import (
    FILL_AFTER_CUT,
    first_kept,
    in_context,
    reserve_for_answer,
    without_oldest,
)
from baize_tui.chat.engine_turn import EngineTurn, StoppedWaiting
from baize_tui.chat.events import (
    Answering,
    Asked,
    ChatEvent,
    Delta,
    Failed,
    Finished,
    LoadingModel,
    NotSaved,
    TurnsLeft,
)
from baize_tui.chat.formats import (
    OWN_TEMPLATE,
    PromptFormat,
    UnknownFormat,
    build_prompt,
    format_named,
    formats,
)
from baize_tui.chat.growing_answer import GrowingAnswer
from baize_tui.chat.titles import title_from, title_of_answer, title_request
from baize_tui.engine import protocol
from baize_tui.engine.client import Engine, EngineFailure, ModelSpec, WorkerDied
from baize_tui.engine.protocol import LoadedModel, Prefilling, ThreadsChosen
from baize_tui.settings import Overflow, Sampling, Settings, SettingsError, merge_sampling
from baize_tui.store.conversations import NEW_TITLE, Store, StoreError
from baize_tui.store.records import Conversation, Mark, Message, MessageState, Provenance

T = TypeVar("T")
_STOP_S = 1.0
"""How long the engine may take to stop an answer when everything ends."""
_STOP_AT_EXIT_S = 0.4
"""The same when the process was told to end."""


class NoModel(Exception):
    """A turn needs a model and none is loaded."""


class ContextFull(Exception):
    """The conversation no longer fits, and it was chosen that nothing leaves it."""


class Answerer(msgspec.Struct, frozen=True):
    """A model, and the adapters over it with their scales."""

    model: str
    adapters: dict[str, float] = {}

    @property
    def words(self) -> str:
        laid_over = (
            name if scale == 1 else f"{name} {scale:g}" for name, scale in self.adapters.items()
        )
        return " + ".join([self.model, *laid_over])


class Running(msgspec.Struct, frozen=True):
    """The model that is loaded."""

    loaded: LoadedModel
    model: CatalogModel


def _no_adapter(name: str) -> CatalogAdapter:
    raise CatalogError(f"no adapter is called {name!r}")


class Chat:
    """Conversations over one store and one engine; every method belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        settings: Settings,
        cache: Path,
        find_model: Callable[[str | None], CatalogModel],
        *,
        find_adapter: Callable[[str], CatalogAdapter] = _no_adapter,
        one_model: bool = False,
    ) -> None:
        """``cache`` is the folder where hashes of model files are remembered; ``find_model`` knows
        the models by name, ``find_adapter`` the adapters (``CatalogError`` where they do not). With
        ``one_model`` the model given to ``use_model`` answers everywhere, whatever a conversation
        was begun with."""
        self.store = store
        self.settings = settings
        self._engine = engine
        self.cache = cache
        self.find_model = find_model
        self.find_adapter = find_adapter
        self._one_model = one_model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._turns: dict[str, EngineTurn] = {}
        self._growing: dict[int, GrowingAnswer] = {}
        self._closing = self._store_closed = False
        self._engine_lock = asyncio.Lock()
        self._unsaved: dict[int, Callable[[], None]] = {}
        self._hash: Future[str] = Future()
        self._later: set[asyncio.Task[None]] = set()
        self.running: Running | None = None
        self.max_tokens = settings.chat.max_tokens
        self.grammar = ""
        """GBNF that answers have to follow; empty is none."""

    async def run(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call a method of the store in the store's own thread, so that no screen waits for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **named))

    # --- the model ------------------------------------------------------------------------------

    async def use_model(
        self, model: CatalogModel, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load ``model`` in place of the one before, once the answer on its way has ended.

        Raises:
            EngineFailure: the file cannot be loaded.
        """
        async with self._engine_lock:
            return await self._load(model, progress)

    async def _load(
        self, model: CatalogModel, progress: Callable[[float], None] | None
    ) -> LoadedModel:
        assert model.path is not None
        chosen = self.settings.model
        spec = ModelSpec(
            path=str(model.path),
            context=model.recipe.context or chosen.context,
            threads=chosen.threads,
            threads_batch=chosen.threads_batch,
            gpu_layers=chosen.gpu_layers,
        )
        self.running = None
        loaded = await self._engine.load(spec, progress)
        self.running = Running(loaded, model)
        self._hash = self._start_hash(model.path)
        return loaded

    @property
    def loaded(self) -> LoadedModel | None:
        return self.running.loaded if self.running is not None else None

    @property
    def model(self) -> CatalogModel | None:
        return self.running.model if self.running is not None else None

    def other_model(self, conversation: Conversation) -> CatalogModel | None:
        """The model to load before ``conversation`` can go on; None where the right one is.

        Raises:
            CatalogError: the conversation's model is not on this machine.
        """
        name = conversation.model
        if self._one_model or name is None or (self.model is not None and self.model.name == name):
            return None
        return self.find_model(name)

    def sampling_for(self, conversation: Conversation | None, **here: Any) -> Sampling:
        """What counts in ``conversation``: defaults, the model's recipe, the settings, what the
        conversation sets, and ``here``, each over the one before.

        Raises:
            SettingsError: a value is out of its range; the message names the key.
        """
        recipe = self.model.recipe.sampling if self.model is not None else {}
        own = conversation.sampling if conversation is not None else {}
        return merge_sampling(recipe, self.settings.sampling, own, here)

    def overflow_of(self, conversation: Conversation | None) -> Overflow:
        """What happens when the context is full."""
        own = conversation.overflow if conversation is not None else None
        return own or self.settings.chat.overflow

    def reserve(self, n_ctx: int) -> int:
        """Tokens of a context of ``n_ctx`` that are kept for the answer."""
        return reserve_for_answer(self.max_tokens, n_ctx)

    def hear_notices(self, on_notice: Callable[[str], None]) -> None:
        """Have ``on_notice`` hear one line when something is switched off because it crashed."""
        self._engine.on_notice = on_notice

    def change_settings(self, settings: Settings) -> None:
        """Have ``settings`` count from now on; those of the model when it is next loaded."""
        self.settings = settings
        self.max_tokens = settings.chat.max_tokens

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
        """Name of the prompt format in use.

        The conversation's, that of its adapters, the recipe's, the one that the file names, or the
        settings'.
        """
        running = self.running
        recipe = named = own = None
        if running is not None:
            recipe = running.model.recipe.format
            named = running.loaded.prompt_format
            own = None if running.loaded.has_template else "chatml"
        named = named if named in formats() else None
        laid_over = next((a.format for a in self._adapter_recipes(conversation) if a.format), None)
        chosen = conversation.format or laid_over or recipe or named or self.settings.chat.format
        return chosen or own or OWN_TEMPLATE

    def _adapter_recipes(self, conversation: Conversation) -> list[AdapterRecipe]:
        """The recipes of the adapters of ``conversation`` that are known."""
        found = []
        for name, scale in conversation.adapters.items():
            with contextlib.suppress(CatalogError):
                if scale:
                    found.append(self.find_adapter(name).recipe)
        return found

    def domain_of(self, conversation: Conversation) -> Domain | None:
        """The field that the conversation's model, or an adapter over it, was made for."""
        for adapter in self._adapter_recipes(conversation):
            if adapter.domain is not None:
                return adapter.domain
        model = self.model
        with contextlib.suppress(CatalogError):
            model = self.other_model(conversation) or model
        return model.recipe.domain if model is not None else None

    def _adapters(self, conversation: Conversation) -> list[protocol.AdapterUse]:
        """What the engine lays over the model.

        Raises:
            CatalogError: an adapter is not on this machine.
        """
        uses = []
        for name, scale in conversation.adapters.items():
            if not scale:  # switched off; its file may be gone
                continue
            path = self.find_adapter(name).path
            assert path is not None
            uses.append(protocol.AdapterUse(str(path), scale))
        return uses

    async def new_conversation(
        self,
        *,
        system: str | None = None,
        format: str | None = None,
        adapters: Mapping[str, float] = {},
    ) -> Conversation:
        """Begin one; what its model is told is that of its domain where nobody chose anything."""
        chat = self.settings.chat
        conversation = await self.run(
            self.store.new_conversation,
            system=chat.system if system is None else system,
            moderation=chat.moderation,
            model=self.model.name if self.model is not None else None,
            format=format,
            adapters=adapters,
        )
        domain = self.domain_of(conversation)
        if system is None and domain is not None and domain.system:
            conversation = msgspec.structs.replace(conversation, system=domain.system)
            await self.run(self.store.set_options, conversation)
        return conversation

    # --- turns ----------------------------------------------------------------------------------

    async def ask(
        self,
        conversation_id: str,
        text: str,
        sampling: Mapping[str, Any] = {},
        by: Answerer | None = None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Say ``text`` at the end of the conversation's branch, and answer it; ``sampling`` are
        fields of ``Sampling``, and ``by`` who answers, for this answer alone."""
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
        async with contextlib.aclosing(self._answer(asked, None, sampling, by)) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, message_id: int, sampling: Mapping[str, Any] = {}, by: Answerer | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Answer again: a sibling of answer ``message_id``, or the first answer to a question; see
        ``ask`` for ``sampling`` and ``by``."""
        message = await self.run(self.store.message, message_id)
        if message.role == "assistant" and message.parent_id is not None:
            message = await self.run(self.store.message, message.parent_id)
        async with contextlib.aclosing(self._answer(message, None, sampling, by)) as events:
            async for event in events:
                yield event

    async def continue_answer(
        self, message_id: int, sampling: Mapping[str, Any] = {}
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
        self, message_id: int, text: str, sampling: Mapping[str, Any] = {}
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
        turn = self._turns.get(conversation_id)
        if turn is not None:
            turn.stop()
        return turn is not None

    @property
    def busy(self) -> set[str]:
        """Conversations with an answer on its way."""
        return set(self._turns)

    # --- the one streaming path -----------------------------------------------------------------

    async def _answer(
        self,
        question: Message,
        partial: Message | None,
        overrides: Mapping[str, Any],
        by: Answerer | None = None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Generate the answer to ``question``, or go on with ``partial``."""
        answer: GrowingAnswer | None = None
        turn = self._turns[question.conversation_id] = EngineTurn()
        if self._closing:
            turn.stop()
        try:
            async with turn.holding(self._engine_lock):
                conversation = await self.run(self.store.conversation, question.conversation_id)
                if by is not None:
                    conversation = msgspec.structs.replace(
                        conversation, model=by.model, adapters=by.adapters
                    )
                notices: list[str] = []
                try:
                    other = self.other_model(conversation)
                except CatalogError as error:
                    notices.append(f"{error}. Another model answered")
                else:
                    if other is not None:
                        async with contextlib.aclosing(self._loading(other)) as steps:
                            async for step in steps:
                                yield step
                running = self._require_model()
                sampling = self.sampling_for(conversation, **overrides)
                path = await self.run(self.store.path, question.id)
                history = in_context(path, conversation.context_start)
                adapters = self._adapters(conversation)
                fitted = False
                while answer is None:
                    request = msgspec.structs.replace(
                        self._request(conversation, history, partial, sampling), adapters=adapters
                    )
                    generation = turn.drive(self._engine.generate(request))
                    try:
                        async for event in generation:
                            if isinstance(event, Prefilling | ThreadsChosen):
                                yield event
                                continue
                            if answer is None:
                                answer = await self._begin(
                                    conversation, question, partial, running.loaded
                                )
                                yield Answering(answer.message)
                            if isinstance(event, protocol.Delta):
                                answer.add(event)
                                yield Delta(event.text, answer.text, answer.reasoning)
                                if why := answer.journal.take_problem():
                                    yield NotSaved(why)
                            else:
                                made = self._provenance(event, conversation, running, sampling)
                                notices += event.notices
                                yield await self._finish(answer, event, made, notices)
                    except EngineFailure as failure:
                        if failure.kind != "too_long" or fitted:
                            raise
                        fitted = True
                        kept = await self._fit(conversation, history, partial, failure)
                        yield TurnsLeft(kept.first, len(path) - len(kept.history))
                        history = kept.history
        except _EXPECTED as error:
            left = None
            if answer is not None:
                died = isinstance(error, WorkerDied)
                left = await self._keep(answer, "interrupted" if died else "failed")
            yield Failed(str(error), left)
        finally:
            if self._turns.get(question.conversation_id) is turn:
                del self._turns[question.conversation_id]
            if answer is not None and not answer.kept:
                # The face went away in mid-answer: what came is kept as stopped.
                await asyncio.shield(self._keep(answer, "stopped"))
            turn.ended.set()

    async def _loading(self, model: CatalogModel) -> AsyncGenerator[LoadingModel, None]:
        """Load ``model`` and tell how far it is; this turn holds the engine.

        Raises:
            EngineFailure: the file cannot be loaded.
        """
        progress: asyncio.Queue[float] = asyncio.Queue()
        load = asyncio.create_task(self._load(model, progress.put_nowait))
        yield LoadingModel(model.name, 0.0)
        try:
            while not load.done():
                step = asyncio.ensure_future(progress.get())
                await asyncio.wait({load, step}, return_when=asyncio.FIRST_COMPLETED)
                if step.done():
                    yield LoadingModel(model.name, step.result())
                else:
                    step.cancel()
        finally:
            await load

    def _require_model(self) -> Running:
        if self.running is None:
            raise NoModel("no model is loaded; choose one and go on")
        return self.running

    def _request(
        self,
        conversation: Conversation,
        history: Sequence[Message],
        partial: Message | None,
        sampling: Sampling,
    ) -> protocol.Generate:
        loaded = self._require_model().loaded
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
            reserve=self.reserve(loaded.n_ctx),
            stop=self._stop_strings(chosen),
            trim_at_stop=chosen.trim_at_stop,
            grammar=self.grammar,
        )

    def _stop_strings(self, chosen: PromptFormat) -> list[str]:
        """What ends an answer: by the format, the model's recipe and its file."""
        running = self._require_model()
        return list(dict.fromkeys([*chosen.stop, *running.model.recipe.stop, *running.loaded.stop]))

    async def _fit(
        self,
        conversation: Conversation,
        history: Sequence[Message],
        partial: Message | None,
        failure: EngineFailure,
    ) -> _Kept:
        """``history`` without the oldest turns that the context has no room for; pinned ones stay.

        Raises:
            ContextFull: nothing is to leave this conversation.
            EngineFailure: even the last question with the pinned turns is too long.
        """
        loaded = self._require_model().loaded
        if self.overflow_of(conversation) == "stop":
            raise ContextFull(
                f"the context is full: {failure.tokens} of {loaded.n_ctx} tokens, and room for the "
                "answer. Delete or branch earlier, start a new conversation, or set overflow to "
                "drop"
            )
        reserve = self.reserve(loaded.n_ctx)

        async def count(first: int) -> int:
            kept = without_oldest(history, first)
            request = self._request(conversation, kept, partial, Sampling())
            return await self._engine.count(protocol.Count(request=0, prompt=request.prompt))

        room = loaded.n_ctx - reserve
        first = await first_kept(history, int(room * FILL_AFTER_CUT), count)
        if first is None:
            first = await first_kept(history, room, count)
        if first is None:
            pinned = "the pinned turns and " if any(m.pinned for m in history[:-1]) else ""
            raise EngineFailure(
                f"the message is too long: with {pinned}the system prompt {failure.tokens} tokens, "
                f"and {reserve} are kept for the answer, but the context holds {loaded.n_ctx}. "
                "Shorten it, or set a larger model.context",
                "too_long",
                failure.tokens,
                loaded.n_ctx,
            )
        await self.run(self.store.set_context_start, conversation.id, history[first].id)
        return _Kept(history[first], without_oldest(history, first))

    async def prompt_tokens(
        self, conversation: Conversation | None, leaf_id: int | None, draft: str
    ) -> int | None:
        """Tokens of the prompt that sending ``draft`` would make; None where that is not known:
        no model, another one than the conversation's, or it is at work.

        Raises:
            EngineFailure: the chat template failed, or the worker died.
        """
        if self.running is None or self._engine_lock.locked():
            return None
        if conversation is None:
            chat = self.settings.chat
            conversation = Conversation(
                "", "", 0, 0, None, None, None, chat.system, chat.moderation, chat.format
            )
        try:
            if self.other_model(conversation) is not None:
                return None
        except CatalogError:
            pass
        path = await self.run(self.store.path, leaf_id) if leaf_id is not None else []
        history = list(in_context(path, conversation.context_start))
        asked = Message(
            0, conversation.id, leaf_id, "user", "complete", clean_text(draft), "", None, None, 0,
            None,
        )  # fmt: skip
        request = self._request(conversation, [*history, asked], None, Sampling())
        return await self._engine.count(protocol.Count(request=0, prompt=request.prompt))

    async def suggest_title(self, conversation_id: str) -> str:
        """A title that the model finds for a conversation; nothing is changed.

        Raises:
            EngineFailure: the model cannot be asked, or finds none.
            NoModel, StoreError: as their messages say.
        """
        turn = EngineTurn()
        async with turn.holding(self._engine_lock):
            self._require_model()
            conversation = await self.run(self.store.conversation, conversation_id)
            messages = await self.run(self.store.messages, conversation_id)
            chosen = format_named(self.format_of(conversation))
            request = title_request(messages, chosen.template, self._stop_strings(chosen))
            # With the same adapters, so that the conversation goes on from its cache.
            request = msgspec.structs.replace(request, adapters=self._adapters(conversation))
            async for event in self._engine.generate(request):
                if isinstance(event, protocol.Finished) and (title := title_of_answer(event.text)):
                    return title
        raise EngineFailure("the model found no title; f2 lets you write one")

    async def set_mark(self, message_id: int, mark: Mark | None) -> Message:
        """Keep what the person thinks of an answer."""
        await self.run(self.store.set_mark, message_id, mark)
        return await self.run(self.store.message, message_id)

    async def pin(self, message: Message, pinned: bool) -> list[int]:
        """Have the turn of ``message`` stay in the context, an answer with its question; the
        numbers of the messages that are now, or no longer, pinned."""
        numbers = [message.id]
        if message.role == "assistant" and message.parent_id is not None:
            numbers.append(message.parent_id)
        for number in numbers:
            await self.run(self.store.set_pinned, number, pinned)
        return numbers

    async def _begin(
        self,
        conversation: Conversation,
        question: Message,
        partial: Message | None,
        loaded: LoadedModel,
    ) -> GrowingAnswer:
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
        answer = GrowingAnswer(message, loaded.tokenizer, self.store, self.run)
        self._growing[message.id] = answer
        return answer

    async def _finish(
        self,
        answer: GrowingAnswer,
        event: protocol.Finished,
        made: Provenance,
        notices: list[str],
    ) -> Finished:
        answer.replace(event.text, event.ids)
        state: MessageState = "stopped" if event.reason == "cancelled" else "complete"
        message = await self._keep(answer, state, made)
        if made.model_sha256 is None and answer.saved:
            self._add_hash_later(message.id)
        return Finished(message, event.reason, event.stats, answer.saved, notices)

    async def _keep(
        self, answer: GrowingAnswer, state: MessageState, made: Provenance | None = None
    ) -> Message:
        """Write the answer down as it is; what cannot be written now is tried again later."""
        answer.kept = True
        answer.journal.stop()
        came = answer.so_far

        def write() -> None:
            self.store.finish(
                came.message_id,
                state,
                came.text,
                came.reasoning,
                came.ids,
                came.tokenizer,
                made,
            )

        message = msgspec.structs.replace(
            answer.message,
            state=state,
            text=came.text,
            reasoning=came.reasoning,
            ids=came.ids,
            tokenizer=came.tokenizer,
            provenance=msgspec.to_builtins(made) if made is not None else None,
        )
        try:
            await asyncio.shield(self.run(write))
        except StoreError:
            answer.saved = False
            self._unsaved[answer.message.id] = write
        else:
            self._growing.pop(came.message_id, None)
        await answer.journal.close()
        return message

    def _provenance(
        self,
        event: protocol.Finished,
        conversation: Conversation,
        running: Running,
        sampling: Sampling,
    ) -> Provenance:
        loaded, model = running.loaded, running.model
        stats = event.stats
        known = self._hash.done() and self._hash.exception() is None
        return Provenance(
            model=model.name,
            model_path=loaded.path,
            model_bytes=loaded.file_bytes,
            model_sha256=self._hash.result() if known else None,
            format=self.format_of(conversation),
            adapters=dict(conversation.adapters),
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
            profile=stats.profile,
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
            self._growing.pop(message_id, None)
        return self.unsaved

    # --- the end --------------------------------------------------------------------------------

    async def save(self, patience_s: float) -> None:
        """Stop the answers on their way and write down what came; none begins any more.

        An answer that the engine does not end within ``patience_s`` is written down as it is.
        """
        self._closing = True
        if self._store_closed:
            return
        for turn in self._turns.values():
            turn.stop()
        ends = [asyncio.ensure_future(turn.ended.wait()) for turn in self._turns.values()]
        if ends:
            await asyncio.wait(ends, timeout=patience_s)
        for end in ends:
            end.cancel()
        for answer in list(self._growing.values()):
            if not answer.kept:
                await self._keep(answer, "stopped")
        await self.save_pending()
        await self.run(int)  # what the store's thread was given before is written too

    async def save_for_exit(self) -> None:
        """Save, and wait for nothing else: the process is about to be ended.

        Raises:
            StoreError: something could not be saved.
        """
        await self.save(_STOP_AT_EXIT_S)
        self.close_store()
        if self.unsaved:
            raise StoreError(f"{self.unsaved} answers could not be saved")

    def rescue(self, limit_s: float) -> None:
        """Write down what came of the answers on their way while the event loop hangs; called from
        another thread. What cannot be written within ``limit_s`` stays as the journal has it."""
        # The store's thread may still have an older text of the same answer to write.
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._thread.submit(int).result(limit_s / 2)
        answers = [answer.so_far for answer in list(self._growing.values())]
        with contextlib.suppress(StoreError):
            self.store.rescue(answers, limit_s / 2)

    async def close(self) -> None:
        """Stop what runs, save what is left, end the worker."""
        await self.save(_STOP_S)
        for task in list(self._later):
            task.cancel()
        await self._engine.close()
        self.close_store()

    def close_store(self) -> None:
        """Nothing more is read or written."""
        if not self._store_closed:
            self._store_closed = True
            self._thread.shutdown()
            self.store.close()


class _Kept(msgspec.Struct, frozen=True):
    """What is left of a history: all of it, and where its part that is not pinned begins."""

    first: Message
    history: Sequence[Message]


_EXPECTED = (
    CatalogError,
    EngineFailure,
    StoreError,
    NoModel,
    ContextFull,
    UnknownFormat,
    SettingsError,
    StoppedWaiting,
)
"""What may end a turn; each has one clear line."""
