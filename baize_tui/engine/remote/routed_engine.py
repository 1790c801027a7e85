"""One engine for models on this computer and on servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from baize_shared.server_address import SERVER_PREFIX
from baize_tui.engine.client import Engine, EngineFailure, Generation, LocalEngine, ModelSpec
from baize_tui.engine.protocol import (
    CheckForm,
    Count,
    Generate,
    Judge,
    Judged,
    LoadedModel,
    PromptRead,
    ReadPrompt,
    Warm,
    Warmed,
)
from baize_tui.translation import msg, tr

MISSING = msg(
    "models on servers need a library: pip install 'baize-tui[server]', or pip install openai"
)


class RoutedEngine:
    """Sends each request to the engine that has loaded the model."""

    def __init__(self, local: LocalEngine, keys_file: Path) -> None:
        """``keys_file`` has the keys of servers."""
        self._local = local
        self._keys_file = keys_file
        self._remote: Engine | None = None
        self._active: Engine | None = local

    @property
    def on_notice(self) -> Callable[[str], None]:
        return self._local.on_notice

    @on_notice.setter
    def on_notice(self, listener: Callable[[str], None]) -> None:
        self._local.on_notice = listener

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Load a model in place of the one before, wherever that is.

        Raises:
            EngineFailure: it cannot be loaded; no model is loaded afterwards.
        """
        self._active = None
        engine = await self._engine_for(spec)
        if engine is self._local:
            if self._remote is not None:
                await self._remote.close()
        else:
            await self._local.unload()
        loaded = await engine.load(spec, progress)
        self._active = engine
        return loaded

    async def _engine_for(self, spec: ModelSpec) -> Engine:
        if not spec.path.startswith(SERVER_PREFIX):
            return self._local
        if self._remote is None:
            try:
                # In a thread: it takes half a second, in which the screen would not move.
                self._remote = await asyncio.to_thread(_open_remote, self._keys_file)
            except ModuleNotFoundError as error:
                if error.name != "openai":
                    raise
                raise EngineFailure(tr(MISSING), "load") from error
        return self._remote

    def _require(self) -> Engine:
        if self._active is None:
            raise EngineFailure(tr("no model is loaded"), "load")
        return self._active

    def generate(self, request: Generate) -> Generation:
        return self._require().generate(request)

    async def count(self, request: Count) -> int:
        return await self._require().count(request)

    async def check_form(self, request: CheckForm) -> None:
        await self._require().check_form(request)

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        return await self._require().read_prompt(request)

    async def judge(self, request: Judge) -> Judged:
        return await self._require().judge(request)

    async def warm(self, request: Warm) -> Warmed:
        return await self._require().warm(request)

    async def save_cache(self) -> str:
        return await self._active.save_cache() if self._active is not None else ""

    async def forget(self, conversation: str) -> None:
        await self._local.forget(conversation)

    async def close(self) -> None:
        """End the worker, and the connections to servers."""
        if self._remote is not None:
            await self._remote.close()
        await self._local.close()


def _open_remote(keys_file: Path) -> Engine:
    # Imported when used: few people use a server, and its libraries are slow to import.
    from baize_tui.engine.remote.remote_engine import RemoteEngine

    return RemoteEngine(keys_file)
