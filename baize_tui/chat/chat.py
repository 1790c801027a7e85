"""The chat: everything that a screen or a command asks for goes through ``Chat``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from baize_shared.sanitizer import clean_text
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.active_model import ActiveModel, Catalog
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.answer_plan import conversation_prompt, question_message
from baize_tui.chat.answer_saver import AnswerSaver
from baize_tui.chat.answering import Answering
from baize_tui.chat.attaching import Attaching
from baize_tui.chat.context import (
    ContextUse,
    DraftEffect,
    History,
    fits_alone,
    visible_history,
)
from baize_tui.chat.context_cutter import ContextCutter
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.drafts import Drafts
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.events import AnswerFailed, ChatEvent, EngineUse, MessageSaved
from baize_tui.chat.idle_work import IdleWork
from baize_tui.chat.inspecting import Inspecting
from baize_tui.chat.messages import Messages
from baize_tui.chat.search import Search
from baize_tui.chat.store_thread import StoreThread
from baize_tui.chat.title_writer import TitleWriter
from baize_tui.chat.titles import title_from_question
from baize_tui.engine import protocol
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.protocol import LoadedModel
from baize_tui.output_forms import OutputForm
from baize_tui.settings import Settings
from baize_tui.shared_texts import NAMED
from baize_tui.store.conversations import NEW_TITLE
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Attachment, Conversation
from baize_tui.translation import tr

if TYPE_CHECKING:
    from baize_tui.catalog.personas import Persona

_STOP_S = 1.0
"""How long the engine may take to stop an answer when the chat is closed."""
_STOP_AT_EXIT_S = 0.4
"""The same when the process was told to end."""
_NO_OPTIONS = AnswerOptions()


class Chat:
    """Conversations in one store, answered by one engine. Use it from one event loop."""

    def __init__(
        self,
        store_thread: StoreThread,
        engine: Engine,
        settings: Settings,
        cache: Path,
        catalog: Catalog,
        *,
        one_model: bool = False,
    ) -> None:
        """``cache`` is the folder where hashes of model files are remembered.

        With ``one_model`` the model given to ``use_model`` answers in every conversation, whichever
        model the conversation was started with.
        """
        self.catalog = catalog
        self.conversations = Conversations(store_thread, engine.forget)
        self.messages = Messages(store_thread)
        self.drafts = Drafts(store_thread)
        self.search = Search(store_thread, catalog.names_in_domain)
        self.active_model = ActiveModel(
            engine,
            settings.model,
            cache,
            catalog,
            one_model=one_model,
            saves_states=not store_thread.in_memory,
        )
        self.options = EffectiveOptions(settings, self.active_model, catalog)
        self.persona: tuple[str, Persona] | None = None
        """The persona of new conversations, and its name."""
        self._saver = AnswerSaver(store_thread)
        self._lock = EngineLock()
        cutter = ContextCutter(engine)
        self._answering = Answering(
            engine, store_thread, self.active_model, self.options, self._saver, self._lock, cutter
        )
        self.attaching = Attaching(engine, self.active_model, self.options, self._lock)
        self._title_writer = TitleWriter(engine, self.active_model, self.options)
        self._idle_work = IdleWork(
            engine,
            self._lock,
            self.active_model,
            self.options,
            self._title_writer,
            self.conversations,
            self.drafts,
            cutter,
        )
        self.inspecting = Inspecting(
            engine, self._lock, self.active_model, self.options, store_thread
        )
        self._thread = store_thread
        self._store = store_thread.store
        self._engine = engine

    # --- settings and model ---------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return self.options.settings

    def change_settings(self, settings: Settings) -> None:
        """Use ``settings`` from now on; those of the model when it is next loaded."""
        self.options.settings = settings
        self.active_model.settings = settings.model

    def default_model(self) -> CatalogModel:
        """The model that answers in new conversations.

        Raises:
            CatalogError: there is none, or the one that the settings name is not on this machine.
        """
        chosen = self.settings.model.default
        try:
            return self.catalog.find_model(chosen)
        except CatalogError as error:
            if chosen is None:
                raise
            raise CatalogError(tr("the default model of the settings: {why}", why=error)) from error

    async def use_model(
        self, model: CatalogModel, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load ``model`` in place of the one before, once the current answer has ended.

        ``progress`` is called with 0.0 to 1.0.

        Raises:
            EngineFailure: the file cannot be loaded.
        """
        self.active_model.chosen = model
        try:
            return await self.load_model(model, progress)
        except EngineFailure:
            self.active_model.chosen = None
            raise

    async def load_model(
        self, model: CatalogModel, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """``use_model`` for a conversation that was held with ``model``: it answers there, and new
        conversations keep theirs."""
        async with self._lock.hold(EngineUse("load", model.name)):
            loaded = await self.active_model.load(model, progress)
            if self.active_model.chosen == model:
                self.active_model.chosen = self.active_model.model  # a server may have named it
            return loaded

    def listen_for_notices(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with one line when the engine switches something off that crashed."""
        self._engine.on_notice = listener
        self._idle_work.on_problem = listener

    def listen_for_titles(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the model has titled a conversation while nobody waited."""
        self._idle_work.on_title = listener

    # --- asking ---------------------------------------------------------------------------------

    def unsaved_conversation(
        self,
        *,
        system: str | None = None,
        format: str | None = None,
        adapters: Mapping[str, float] = {},
    ) -> Conversation:
        """What a new conversation would be, with the model that was given to ``use_model`` even if
        another one is loaded for its own conversation; its id is empty.

        Without ``system`` it has the system prompt of the model's domain, or of the settings.
        """
        defaults, model = self.settings.chat, self.active_model.for_new_conversations
        conversation = Conversation(
            id="",
            title=NEW_TITLE,
            created_at=0,
            updated_at=0,
            leaf_id=None,
            context_start=None,
            model=model.name if model is not None else None,
            model_path=model.location if model is not None else None,
            model_sha256=self.active_model.hash_of(model) if model is not None else None,
            system=defaults.system if system is None else system,
            moderation=defaults.moderation,
            format=format,
            adapters=dict(adapters),
        )
        if self.persona is not None:
            from baize_tui.chat.persona_settings import with_persona

            name, persona = self.persona
            conversation = with_persona(conversation, name, persona, defaults)
            own = {"system": system, "format": format, "adapters": dict(adapters) or None}
            given = {key: value for key, value in own.items() if value is not None}
            return msgspec.structs.replace(conversation, **given)
        domain = self.options.domain(conversation)
        if system is None and domain is not None and domain.system:
            conversation = msgspec.structs.replace(conversation, system=domain.system)
        return conversation

    async def new_conversation(
        self,
        *,
        system: str | None = None,
        format: str | None = None,
        adapters: Mapping[str, float] = {},
    ) -> Conversation:
        """Create the conversation that ``unsaved_conversation`` describes.

        Raises:
            StoreError: it cannot be saved.
        """
        new = self.unsaved_conversation(system=system, format=format, adapters=adapters)
        created = await self.conversations.create(
            system=new.system,
            moderation=new.moderation,
            model=new.model,
            model_path=new.model_path,
            model_sha256=new.model_sha256,
            format=new.format,
            adapters=new.adapters,
        )
        if self.persona is None:
            return created
        return await self.conversations.set_options(msgspec.structs.replace(new, id=created.id))

    async def ask(
        self,
        conversation_id: str,
        text: str,
        options: AnswerOptions = _NO_OPTIONS,
        *,
        typed: str = "",
        unsent: str | None = None,
        attachments: Sequence[Attachment] = (),
        form: OutputForm | None = None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Add the question ``text`` to the branch that is shown, and answer it.

        ``typed`` is what the person typed around a paste, for the title. ``unsent`` is the id of
        the draft that the question was; it is removed when the question is saved. ``attachments``
        are the parts of the text that came from files, and every answer to the question will have
        ``form``.
        """
        text, attachments = _clean_question(text, attachments)
        try:
            conversation = await self.conversations.get(conversation_id)
            question = await self._thread.call(
                self._store.add_message,
                conversation_id,
                conversation.leaf_id,
                "user",
                text,
                unsent=unsent,
                attachments=attachments,
                form=form,
            )
            if conversation.title_source == "none" and question.parent_id is None:
                title = title_from_question(clean_text(typed).strip() or text)
                await self.conversations.set_automatic_title(conversation_id, title, "question")
        except StoreError as error:
            yield AnswerFailed(str(error), None)
            return
        yield MessageSaved(question)
        async with contextlib.aclosing(self._answering.answer(question, options)) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, message_id: int, options: AnswerOptions = _NO_OPTIONS
    ) -> AsyncGenerator[ChatEvent, None]:
        """Generate a sibling of the answer ``message_id``, or the first answer to a question."""
        try:
            question = await self.messages.get(message_id)
            if question.role == "assistant" and question.parent_id is not None:
                question = await self.messages.get(question.parent_id)
        except StoreError as error:
            yield AnswerFailed(str(error), None)
            return
        async with contextlib.aclosing(self._answering.answer(question, options)) as events:
            async for event in events:
                yield event

    async def continue_answer(
        self, message_id: int, options: AnswerOptions = _NO_OPTIONS
    ) -> AsyncGenerator[ChatEvent, None]:
        """Continue an answer after its last token."""
        try:
            partial = await self.messages.get(message_id)
            assert partial.role == "assistant"
            assert partial.parent_id is not None
            question = await self.messages.get(partial.parent_id)
        except StoreError as error:
            yield AnswerFailed(str(error), None)
            return
        answering = self._answering.answer(question, options, partial)
        async with contextlib.aclosing(answering) as events:
            async for event in events:
                yield event

    async def edit(
        self,
        message_id: int,
        text: str,
        options: AnswerOptions = _NO_OPTIONS,
        *,
        unsent: str | None = None,
        attachments: Sequence[Attachment] = (),
        form: OutputForm | None = None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Add ``text`` as a sibling of a message; a question is answered, an answer only saved.

        ``unsent``, ``attachments`` and ``form`` are as in ``ask``.
        """
        text, attachments = _clean_question(text, attachments)
        try:
            original = await self.messages.get(message_id)
            message = await self._thread.call(
                self._store.add_message,
                original.conversation_id,
                original.parent_id,
                original.role,
                text,
                unsent=unsent,
                attachments=attachments,
                form=form,
            )
        except StoreError as error:
            yield AnswerFailed(str(error), None)
            return
        yield MessageSaved(message)
        if original.role == "user":
            async with contextlib.aclosing(self._answering.answer(message, options)) as events:
                async for event in events:
                    yield event

    async def check_form(self, form: OutputForm) -> str:
        """Check that an answer can have ``form``, before anything is sent.

        Returns one line about what its grammar does not express, or an empty text. While the
        engine is in use, llama.cpp reads a grammar only when it is asked for.

        Raises:
            UnusableForm: it is no schema, expression or grammar, or the server takes none.
        """
        from baize_tui.chat.forms import prepare_form  # few questions have a form

        prepared = await asyncio.to_thread(prepare_form, form)
        if self.active_model.loaded is not None and not self.engine_in_use:
            self._lock.stop_idle_work()
            request = protocol.CheckForm(request=0, form=form, grammar=prepared.grammar)
            try:
                await self._engine.check_form(request)
            except EngineFailure as failure:
                raise UnusableForm(tr(NAMED, name=form.name, why=failure)) from failure
        return prepared.warning

    def stop(self, conversation_id: str) -> bool:
        """Stop a conversation's unfinished answer and keep its text; False if there is none."""
        return self._answering.stop(conversation_id)

    @property
    def busy(self) -> set[str]:
        """Ids of the conversations with an unfinished answer."""
        return self._answering.busy

    @property
    def engine_in_use(self) -> bool:
        """Whether the engine writes an answer or a title, or loads a model."""
        return self._lock.is_held

    async def suggest_title(self, conversation_id: str) -> str:
        """A title that the conversation's model writes for it; empty if it writes none.

        Nothing is saved.

        Raises:
            EngineFailure: the model failed.
            NoModelLoaded, CatalogError, StoreError, UnknownFormat: as their messages say.
        """
        conversation = await self.conversations.get(conversation_id)
        async with self._lock.hold(EngineUse("title", conversation.title)):
            required = await self.active_model.required_for_answer(conversation)
            if required is not None:
                await self.active_model.load(required, None)
            visible = await self._visible(conversation, conversation.leaf_id)
            return await self._title_writer.write_on_request(conversation, visible)

    async def count_context(
        self, conversation: Conversation | None, leaf_id: int | None, draft: str
    ) -> ContextUse | None:
        """What the context contains after message ``leaf_id``, with ``draft`` unless it is empty.

        None if that is unknown: no model is loaded, another one than the conversation's, or the
        engine is busy. None also if there is nothing to count.

        Raises:
            EngineFailure: the chat template failed, or the worker died.
            StoreError: the messages cannot be read.
            UnknownFormat: the conversation's prompt format does not exist.
        """
        loaded = self.active_model.loaded
        if loaded is None or self.engine_in_use:
            return None
        if conversation is None:
            conversation = self.unsaved_conversation()
        if not self.active_model.answers(conversation):
            return None
        history = await self._visible(conversation, leaf_id)
        if draft:
            history = history.with_question(question_message(draft))
        if not history.messages:
            return None
        format_name = self.options.prompt_format(conversation)
        think = self.options.think(conversation)
        as_trained = self.options.as_trained(conversation)

        async def count(history: History) -> int:
            prompt = conversation_prompt(
                as_trained, format_name, history, loaded.tokenizer, think=think
            )
            return await self._engine.count(protocol.Count(request=0, prompt=prompt))

        self._lock.stop_idle_work()
        tokens = await count(history)
        if not loaded.n_ctx:
            return ContextUse(tokens, bool(draft), "fits", is_estimate=True)
        room = loaded.n_ctx - self.options.reserve(loaded.n_ctx)
        effect: DraftEffect = "fits"
        if draft and tokens > room:
            overflow = self.options.overflow(conversation)
            cuts: DraftEffect = "summarizes_turns" if overflow == "summarize" else "drops_turns"
            fits = overflow != "stop" and await fits_alone(history, room, count)
            effect = cuts if fits else "fails"
        return ContextUse(tokens, bool(draft), effect, is_estimate=loaded.counts_are_estimates)

    async def prepare(
        self, conversation: Conversation | None, leaf_id: int | None, draft: str
    ) -> None:
        """Read ahead what the model will see if ``draft`` is asked after message ``leaf_id``.

        It happens in the background while nobody waits for an answer, and its result is saved.

        Raises:
            StoreError: the messages cannot be read.
        """
        if self.active_model.loaded is None or self.engine_in_use:
            return
        if conversation is None:
            conversation = self.unsaved_conversation()
        visible = await self._visible(conversation, leaf_id)
        self._idle_work.prepare(conversation, visible.with_question(question_message(draft)))

    async def _visible(self, conversation: Conversation, leaf_id: int | None) -> History:
        """What the model sees of the branch that ends with message ``leaf_id``."""
        path = await self.messages.path(leaf_id) if leaf_id is not None else []
        return visible_history(path, conversation.context_start)

    # --- the end --------------------------------------------------------------------------------

    @property
    def unsaved(self) -> int:
        """How many ended answers could not be written yet."""
        return self._saver.unsaved

    @property
    def why_unsaved(self) -> str:
        """Why they could not be written, in one line."""
        return self._saver.why_unsaved

    async def save_pending(self) -> int:
        """Try again to write what could not be written; returns how many answers are left."""
        return await self._saver.save_pending()

    async def save(self, limit_s: float) -> None:
        """Stop all answers and save them; new ones are refused from now on.

        An answer that the engine does not end within ``limit_s`` seconds is saved as it is.
        """
        self._answering.refuse_new()
        if self._thread.closed:
            return
        await self._answering.stop_all(limit_s)
        await self._saver.save_all()

    async def save_for_exit(self) -> None:
        """Save, and wait for nothing else: the process is about to be ended.

        Raises:
            StoreError: something could not be saved.
        """
        await self.save(_STOP_AT_EXIT_S)
        self._thread.close()
        if self.unsaved:
            raise StoreError(
                tr(
                    "{count} answers could not be saved: {why}",
                    count=self.unsaved,
                    why=self.why_unsaved,
                )
            )

    def rescue(self, limit_s: float) -> None:
        """Save the unfinished answers from another thread, while the event loop hangs.

        What cannot be written within ``limit_s`` seconds stays as the journal has it.
        """
        self._saver.rescue(limit_s)

    async def close(self, *, save_state: bool = True) -> None:
        """Stop all answers, save what is left, and end the worker.

        With ``save_state``, what the model has read of the last conversation is saved, too, where
        that pays: it continues later.
        """
        await self.save(_STOP_S)
        self._saver.cancel_hashes()
        if save_state:
            await self._idle_work.save_before_exit()
        await self._engine.close()
        self._thread.close()


def _clean_question(
    text: str, attachments: Sequence[Attachment]
) -> tuple[str, Sequence[Attachment]]:
    """``text`` sanitized, and its attachments; none if the places of those are others then."""
    cleaned = clean_text(text)
    return cleaned, attachments if len(cleaned) == len(text) else ()
