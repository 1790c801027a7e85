"""Which model is loaded, and which one a conversation needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.errors import NoModelLoaded
from baize_tui.chat.events import LoadingModel
from baize_tui.engine.client import Engine, ModelSpec
from baize_tui.engine.protocol import LoadedModel
from baize_tui.settings import ModelSettings
from baize_tui.store.records import Conversation


class Catalog(Protocol):
    """Finds models and adapters by name; ``CatalogError`` where there is none."""

    def find_model(self, name: str | None) -> CatalogModel:
        """The model ``name``; for None the first that is installed."""
        ...

    def find_adapter(self, name: str) -> CatalogAdapter: ...


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
    ) -> None:
        """``cache`` is the folder where hashes of model files are remembered; with ``one_model``
        no conversation needs another model than the loaded one."""
        self.settings = settings
        """For the next load."""
        self.running: RunningModel | None = None
        self._engine = engine
        self._cache = cache
        self._catalog = catalog
        self._one_model = one_model
        self.sha256: Future[str] = Future()
        """SHA-256 of the model file, computed in the background; fails with ``OSError``."""

    @property
    def loaded(self) -> LoadedModel | None:
        return self.running.loaded if self.running is not None else None

    @property
    def model(self) -> CatalogModel | None:
        return self.running.model if self.running is not None else None

    def require(self) -> RunningModel:
        """The loaded model.

        Raises:
            NoModelLoaded: there is none.
        """
        if self.running is None:
            raise NoModelLoaded("no model is loaded; choose one and continue")
        return self.running

    def required_by(self, conversation: Conversation) -> CatalogModel | None:
        """The model to load before ``conversation`` can continue; None if it is loaded.

        Raises:
            CatalogError: the conversation's model is not on this machine.
        """
        name = conversation.model
        if self._one_model or name is None or (self.model is not None and self.model.name == name):
            return None
        return self._catalog.find_model(name)

    async def load(
        self, model: CatalogModel, progress: Callable[[float], None] | None
    ) -> LoadedModel:
        """Load ``model`` in place of the one before.

        Raises:
            EngineFailure: the file cannot be loaded; no model is loaded afterwards.
        """
        assert model.path is not None
        spec = ModelSpec(
            path=str(model.path),
            context=model.recipe.context or self.settings.context,
            threads=self.settings.threads,
            threads_batch=self.settings.threads_batch,
            gpu_layers=self.settings.gpu_layers,
        )
        self.running = None
        loaded = await self._engine.load(spec, progress)
        self.running = RunningModel(loaded, model)
        self.sha256 = _start_hash(model.path, self._cache)
        return loaded

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


def _start_hash(path: Path, cache: Path) -> Future[str]:
    # A daemon thread: quitting must not wait until a large file is read.
    future: Future[str] = Future()

    def compute() -> None:
        try:
            future.set_result(model_sha256(path, cache))
        except OSError as error:
            future.set_exception(error)

    threading.Thread(target=compute, name="model hash", daemon=True).start()
    return future
