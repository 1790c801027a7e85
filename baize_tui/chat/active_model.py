"""Which model is loaded, and which one a conversation needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Set
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from baize_shared.server_address import SERVER_PREFIX, parse_address
from baize_shared.thread_priority import yield_to_others
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.draft_models import find_draft
from baize_tui.catalog.finding import model_on_server
from baize_tui.catalog.identity import known_sha256, model_sha256
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.catalog.same_model import replaced_error
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.chat.events import LoadingModel
from baize_tui.engine.client import Engine, ModelSpec
from baize_tui.engine.protocol import LoadedModel
from baize_tui.settings import ModelSettings
from baize_tui.store.records import Conversation
from baize_tui.translation import tr


class Catalog(Protocol):
    """Finds models and adapters by name; ``CatalogError`` where there is none."""

    def find_model(self, name: str | None) -> CatalogModel:
        """The model ``name``; for None the default where the settings name none."""
        ...

    def find_same_model(self, name: str, path: str | None, sha256: str | None) -> CatalogModel:
        """The model that a conversation was held with, by its content."""
        ...

    def find_adapter(self, name: str) -> CatalogAdapter: ...

    def names_in_domain(self, domain: str) -> Set[str]:
        """The models and adapters that were made for a field."""
        ...


class RunningModel(Struct, frozen=True):
    """The model that is loaded, and its entry in the catalog."""

    loaded: LoadedModel
    model: CatalogModel


class ActiveModel:
    """The model in the engine. To load one, the caller holds the engine's lock."""

    def __init__(
        self,
        engine: Engine,
        settings: ModelSettings,
        cache: Path,
        catalog: Catalog,
        *,
        one_model: bool,
        saves_states: bool,
    ) -> None:
        """``cache`` is the folder where hashes of model files are remembered; with ``one_model``
        no conversation needs another model than the loaded one. ``saves_states`` allows to save
        what the model has read of conversations."""
        self.settings = settings
        """For the next load."""
        self.running: RunningModel | None = None
        self._engine = engine
        self._cache = cache
        self._catalog = catalog
        self._saves_states = saves_states
        self.one_model = one_model
        """Whether one model answers in every conversation, whichever that was held with."""
        self.chosen: CatalogModel | None = None
        """The model that the person has loaded last, not one that a conversation needed."""
        self.sha256: Future[str] = Future()
        """SHA-256 of the model file, computed in the background; fails with ``OSError``."""

    @property
    def loaded(self) -> LoadedModel | None:
        return self.running.loaded if self.running is not None else None

    @property
    def model(self) -> CatalogModel | None:
        return self.running.model if self.running is not None else None

    @property
    def for_new_conversations(self) -> CatalogModel | None:
        """The model that answers in a new conversation; None if there is none."""
        return self.chosen or self.model

    def choose_for_new_conversations(self, model: CatalogModel) -> bool:
        """Have ``model`` answer in new conversations; False with ``one_model``, which answers as
        long as the client runs."""
        if not self.one_model:
            self.chosen = model
        return not self.one_model

    def require(self) -> RunningModel:
        """The loaded model.

        Raises:
            NoModelLoaded: there is none.
        """
        if self.running is None:
            raise NoModelLoaded(tr("no model is loaded; choose one and continue"))
        return self.running

    def required_by(
        self, conversation: Conversation, *, asked_for: bool = False
    ) -> CatalogModel | None:
        """The model to load before ``conversation`` can continue; None if it is loaded.

        With ``asked_for`` the person asked for the model in ``conversation``, as for side-by-side
        answers: ``one_model`` does not hold then.

        Raises:
            CatalogError: the conversation's model is not on this machine.
        """
        if not self.one_model or asked_for:
            return self._missing(conversation)
        return None if self.chosen is None or self._is_loaded(self.chosen) else self.chosen

    def answering_model(self, conversation: Conversation | None) -> CatalogModel | None:
        """The model that answers the next question, loaded or not; None if there is none.

        ``conversation`` is None for a new one.

        Raises:
            CatalogError: the conversation's model is not on this machine.
        """
        if conversation is None:
            return self.for_new_conversations
        return self.required_by(conversation) or self.model

    async def required_for_answer(
        self, conversation: Conversation, *, asked_for: bool = False
    ) -> CatalogModel | None:
        """``required_by`` for an answer that is about to begin.

        Where the content of the file is not known yet, it is hashed first: another file may have
        taken its place.

        Raises:
            CatalogError: the conversation's model is not on this machine.
        """
        required = self.required_by(conversation, asked_for=asked_for)
        model, wanted = required or self.model, conversation.model_sha256
        own_answers = asked_for or not self.one_model
        if not own_answers or wanted is None or model is None or model.path is None:
            return required
        try:
            if required is None:
                sha256 = await asyncio.wrap_future(self.sha256)
            else:
                sha256 = await asyncio.to_thread(model_sha256, model.path, self._cache)
        except OSError:
            return required  # loading it fails with the reason; what is loaded still answers
        if sha256 != wanted:
            raise replaced_error(model)
        return required

    def answers(self, conversation: Conversation | None) -> bool:
        """Whether the loaded model would answer the next question of ``conversation``."""
        try:
            return self.model is not None and self.answering_model(conversation) == self.model
        except CatalogError:
            return False

    def is_model_of(self, conversation: Conversation) -> bool:
        """Whether the loaded model is the one that ``conversation`` was held with."""
        try:
            return self.model is not None and self._missing(conversation) is None
        except CatalogError:
            return False

    def names_apart(self, conversation: Conversation) -> tuple[str, str]:
        """What to call the loaded model, and that of ``conversation``: with their folders or hosts
        if both have the same name, as files on the hub often do."""
        model = self.require().model
        own = conversation.model or tr("no model")
        if own != model.name or conversation.model_path is None:
            return model.name, own
        return _with_place(model.name, model.location), _with_place(own, conversation.model_path)

    def _missing(self, conversation: Conversation) -> CatalogModel | None:
        name, model = conversation.model, self.model
        if name is None:
            return None
        if model is not None and model.name == name and self._has_file_of(conversation):
            return None
        # Several recipes may be about one file, so the same content under another name counts
        # only if there is none with the name any more.
        found = self._catalog.find_same_model(
            name, conversation.model_path, conversation.model_sha256
        )
        return None if self._is_loaded(found) else found

    def _is_loaded(self, wanted: CatalogModel) -> bool:
        model = self.model
        if model is None:
            return False
        if (model.name, model.location) == (wanted.name, wanted.location):
            return True
        # A server with one model may have been chosen without the name of that.
        address = wanted.recipe.address
        if address is None or address.model:
            return False
        return model.location.startswith(f"{address.spec}#")

    def _has_file_of(self, conversation: Conversation) -> bool:
        """Whether the loaded file is that of ``conversation``, as far as this is known."""
        assert self.model is not None
        sha256 = self.known_sha256
        if conversation.model_sha256 is not None and sha256 is not None:
            return conversation.model_sha256 == sha256
        return conversation.model_path in (None, self.model.location)

    @property
    def known_sha256(self) -> str | None:
        """The hash of the loaded file; None while it is computed, or if the file is gone."""
        if not self.sha256.done() or self.sha256.exception() is not None:
            return None
        return self.sha256.result()

    def assign_to(self, conversation: Conversation, model: CatalogModel) -> Conversation:
        """``conversation`` with ``model``, which the person chose for it."""
        self.one_model = False
        return msgspec.structs.replace(
            conversation,
            model=model.name,
            model_path=model.location,
            model_sha256=self.hash_of(model),
        )

    def hash_of(self, model: CatalogModel) -> str | None:
        """SHA-256 of the file of ``model``; None if there is none, or it was not computed yet."""
        if model.path is None:
            return None
        if self._is_loaded(model):
            return self.known_sha256
        return known_sha256(model.path, self._cache)

    async def load(
        self, model: CatalogModel, progress: Callable[[float], None] | None
    ) -> LoadedModel:
        """Load ``model`` in place of the one before.

        Raises:
            EngineFailure: it cannot be loaded; no model is loaded afterwards.
        """
        if model.path is None:
            return await self._load_from_server(model, progress)
        spec = ModelSpec(
            path=str(model.path),
            context=model.recipe.context or self.settings.context,
            threads=self.settings.threads,
            threads_batch=self.settings.threads_batch,
            gpu_layers=self.settings.gpu_layers,
            kv_type=self.settings.kv_type,
            draft=self._draft_of(model),
            snapshot_budget=self.snapshot_budget,
        )
        self.running = None
        loaded = await self._engine.load(spec, progress)
        self.running = RunningModel(loaded, model)
        if loaded.draft_problem:
            self._engine.on_notice(loaded.draft_problem)
        self.sha256 = _start_hash(model.path, self._cache)
        return loaded

    async def _load_from_server(
        self, model: CatalogModel, progress: Callable[[float], None] | None
    ) -> LoadedModel:
        spec = ModelSpec(
            path=model.location,
            context=model.recipe.context or 0,  # a server has its own
            server_silence_s=self.settings.server_silence_s,
        )
        self.running = None
        loaded = await self._engine.load(spec, progress)
        named = model_on_server(loaded.path)
        if model.location != named.location:  # it was the only one there
            name = named.name if model.name == model_on_server(model.location).name else model.name
            recipe = msgspec.structs.replace(model.recipe, server=loaded.path)
            model = CatalogModel(name, None, recipe)
        self.running = RunningModel(loaded, model)
        self.sha256 = Future()
        self.sha256.set_exception(FileNotFoundError("the file is on a server"))
        return loaded

    def _draft_of(self, model: CatalogModel) -> str:
        """The file of the draft model for ``model``; empty for none."""
        try:
            path = find_draft(model, self.settings.draft, self._catalog.find_model)
        except CatalogError as error:
            self._engine.on_notice(tr("no draft model is used: {why}", why=error))
            return ""
        return "" if path is None else str(path)

    @property
    def snapshot_budget(self) -> int:
        """The most bytes that saved states may take; 0 if none are saved."""
        return int(self.settings.snapshot_gib * 2**30) if self._saves_states else 0

    async def load_with_progress(self, model: CatalogModel) -> AsyncGenerator[LoadingModel, None]:
        """Load ``model`` and report the progress.

        Raises:
            EngineFailure: the file cannot be loaded; no model is loaded afterwards.
        """
        progress: asyncio.Queue[float] = asyncio.Queue()
        load = asyncio.create_task(self.load(model, progress.put_nowait))
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


def _with_place(name: str, location: str) -> str:
    """What to call a model where its name alone does not tell it from another."""
    if location.startswith(SERVER_PREFIX):
        return f"{name} at {parse_address(location).host}"
    path = Path(location)
    return f"{path.parent.name}/{path.name}"


def _start_hash(path: Path, cache: Path) -> Future[str]:
    # A daemon thread: quitting must not wait until a large file is read.
    future: Future[str] = Future()
    future.set_running_or_notify_cancel()  # who waits may give up, but cannot cancel it

    def compute() -> None:
        yield_to_others()  # a prompt is being read meanwhile
        try:
            future.set_result(model_sha256(path, cache))
        except OSError as error:
            future.set_exception(error)

    threading.Thread(target=compute, name="model hash", daemon=True).start()
    return future
